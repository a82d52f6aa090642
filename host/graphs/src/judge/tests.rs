//! The judge against deliveries that are made up: right ones over whole graphs, and each kind of wrong one.

use std::collections::BTreeMap;

use forebay_trace::{Boot, Epoch, Event, Record, Run};
use rand::{
    RngExt, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, IteratorRandom},
};

use super::*;
use crate::{Options, PIPELINE, Pattern, Place};

fn handled(graph: &Graph, consumer: usize, from: usize, node: usize, number: u64) -> Record {
    let name = |at: usize| format!("{PIPELINE}/{}", graph.stages[at].name).into();
    let event = Event::Handled {
        stage: name(consumer),
        own: Epoch(1),
        source: name(from),
        epoch: Epoch(1),
        sub: 1,
        attempt: 1,
        runs: vec![Run { first: 0, count: 1 }],
        serials: vec![Run { first: number, count: 1 }],
    };
    Record { t_mono: 0, t_wall: 0, node: format!("n{node}").into(), boot: Boot(1), n: 0, event }
}

/// Somebody is given an event.
#[derive(Clone, Copy, Debug)]
struct Given {
    consumer: usize,
    from: usize,
    node: usize,
    number: u64,
}

fn tally(graph: &Graph, given: &[Given]) -> Tally {
    let mut tally = Tally::new(graph, (0..NODES).map(|node| format!("n{node}")));
    for Given { consumer, from, node, number } in given {
        tally.see(&handled(graph, *consumer, *from, *node, *number));
    }
    tally
}

/// Hands out all events as nodes would: each stage after those that it subscribes to, and by lot where that is open.
struct Play<'g> {
    graph: &'g Graph,
    random: SmallRng,
    /// Where each stage of global scope runs.
    homes: Vec<usize>,
    given: Vec<Given>,
}

impl Play<'_> {
    fn all(graph: &Graph, seed: u64) -> Vec<Given> {
        let mut random = SmallRng::seed_from_u64(seed);
        let homes = graph.stages.iter().map(|stage| stage.place.nodes().choose(&mut random).unwrap()).collect();
        let mut play = Play { graph, random, homes, given: Vec::new() };
        for from in 0..graph.stages.len() {
            play.stage(from);
        }
        play.given
    }

    fn stage(&mut self, from: usize) {
        let stage = &self.graph.stages[from];
        let mut emitted: Vec<(usize, u64)> = stage.emits.clone().map(|number| (self.homes[from], number)).collect();
        for given in self.given.iter().filter(|given| given.consumer == from) {
            emitted.extend((0..stage.copies).map(|_| (given.node, given.number)));
        }
        for (node, number) in emitted {
            self.emit(from, node, number);
        }
    }

    /// The instances of a consumer that can be given what a stage emits on a node.
    fn instances(&self, from: usize, node: usize, consumer: usize) -> Vec<usize> {
        let stage = &self.graph.stages[consumer];
        match (self.graph.stages[from].scope, stage.scope) {
            (_, Scope::Global) => vec![self.homes[consumer]],
            (Scope::Global, Scope::Node) => stage.place.nodes().collect(),
            (Scope::Node, Scope::Node) => vec![node],
        }
    }

    fn emit(&mut self, from: usize, node: usize, number: u64) {
        let dispatcher = self.graph.stages[from].dispatcher;
        let consumers: Vec<_> =
            self.graph.consumers_of(from).filter(|(.., input)| may_have(dispatcher, input, number)).collect();
        let mut whom = Vec::new();
        for (consumer, _, input) in consumers {
            let mut instances = self.instances(from, node, consumer);
            if dispatcher == Dispatcher::Broadcast && input.is_shared {
                instances = vec![*instances.choose(&mut self.random).unwrap()];
            }
            whom.extend(instances.into_iter().map(|node| Given { consumer, from, node, number }));
        }
        if dispatcher != Dispatcher::Broadcast {
            whom = whom.choose(&mut self.random).copied().into_iter().collect();
        }
        self.given.extend(whom);
    }
}

#[test]
fn what_is_handed_out_as_it_should_be_is_found_right() {
    for seed in 0..100 {
        let graph = Graph::draw(seed, Options::ALL);
        let given = Play::all(&graph, seed);
        assert!(given.len() > 500, "hardly anything happens");
        let tally = tally(&graph, &given);
        assert_eq!(Graph::unlike(&tally), [""; 0], "seed {seed}");
        assert_eq!(Graph::missing(&tally), [""; 0], "seed {seed}");
    }
}

#[test]
fn one_event_too_few_or_too_many_anywhere_is_found() {
    for seed in 0..100 {
        let graph = Graph::draw(seed, Options::ALL);
        let given = Play::all(&graph, seed);
        let at = SmallRng::seed_from_u64(seed).random_range(0..given.len());
        let fewer: Vec<_> = given[..at].iter().chain(&given[at + 1..]).copied().collect();
        assert_ne!(Graph::unlike(&tally(&graph, &fewer)), [""; 0], "seed {seed} without {:?}", given[at]);
        let more = tally(&graph, &[&given[..], &given[at..=at]].concat());
        assert_ne!(Graph::unlike(&more), [""; 0], "seed {seed} with {:?} twice", given[at]);
        assert_eq!(Graph::missing(&more), [""; 0], "seed {seed}: it is there, and again");
    }
}

#[test]
fn with_faults_an_event_that_reaches_nobody_is_found() {
    for seed in 0..50 {
        let graph = Graph::draw(seed, Options::LASTING);
        let (_, source) = graph.sources().next().unwrap();
        let number = source.emits.start;
        let given: Vec<_> = Play::all(&graph, seed).into_iter().filter(|given| given.number != number).collect();
        let missing = Graph::missing(&tally(&graph, &given));
        assert!(missing.iter().any(|what| what.starts_with(&format!("{number} of source-0 "))), "{missing:?}");
    }
}

/// One source on node 0, and sinks with these selections, each on this place and of this scope.
fn fan(dispatcher: Dispatcher, sinks: &[(Scope, Input)]) -> Graph {
    let stage = |name: String, role, scope, emits, inputs| {
        let (place, copies) = (Place::ALL[0], 1);
        Stage { name, role, scope, place, dispatcher, emits, copies, instances: 1, inputs }
    };
    let mut stages = vec![stage("source-0".to_owned(), Role::Source, Scope::Global, 0..1, vec![])];
    for (at, (scope, input)) in sinks.iter().enumerate() {
        stages.push(stage(format!("sink-{}", at + 1), Role::Sink, *scope, 0..0, vec![input.clone()]));
    }
    Graph { seed: 0, stages, is_early: false }
}

fn all() -> Input {
    Input { from: 0, max_demand: 1, min_demand: 0, topics: vec![], is_shared: false, partitions: vec![] }
}

/// What is found when event 0 was given to these, as (sink, node).
fn found(graph: &Graph, to: &[(usize, usize)]) -> Vec<String> {
    let given = to.iter().map(|(consumer, node)| Given { consumer: *consumer, from: 0, node: *node, number: 0 });
    Graph::unlike(&tally(graph, &given.collect::<Vec<_>>()))
}

#[test]
fn under_demand_one_of_all_has_it() {
    let graph = fan(Dispatcher::Demand, &[(Scope::Global, all()), (Scope::Node, all())]);
    assert_eq!(found(&graph, &[(1, 0)]), [""; 0]);
    assert_eq!(found(&graph, &[(2, 2)]), [""; 0]);
    assert_eq!(found(&graph, &[(1, 0), (2, 1)]), ["0 of source-0 was handled 2 times by all consumers, expected 1"]);
    assert_eq!(found(&graph, &[]), ["0 of source-0 was handled 0 times by all consumers, expected 1"]);
}

#[test]
fn under_broadcast_each_instance_has_it_or_one_of_those_that_share() {
    let graph = fan(Dispatcher::Broadcast, &[(Scope::Node, all()), (Scope::Node, Input { is_shared: true, ..all() })]);
    assert_eq!(found(&graph, &[(1, 0), (1, 1), (1, 2), (2, 1)]), [""; 0]);
    let unlike = found(&graph, &[(1, 0), (1, 2), (2, 1), (2, 2)]);
    assert_eq!(
        unlike,
        [
            "0 of source-0 was handled 0 times by sink-1 on node 2, expected 1",
            "0 of source-0 was handled 2 times by sink-2, expected 1"
        ]
    );
}

#[test]
fn nobody_has_what_it_does_not_want() {
    let pattern = |selects| (0..15).map(Pattern::of).find(|pattern| pattern.selects(0) == selects).unwrap();
    let (wanting, other) =
        (Input { topics: vec![pattern(true)], ..all() }, Input { topics: vec![pattern(false)], ..all() });
    let graph = fan(Dispatcher::Demand, &[(Scope::Global, wanting), (Scope::Global, other.clone())]);
    assert_eq!(found(&graph, &[(1, 0)]), [""; 0]);
    assert_eq!(found(&graph, &[(2, 0)]), ["sink-2 was given 0 of source-0, which it does not want"]);
    let nobody = fan(Dispatcher::Broadcast, &[(Scope::Global, other)]);
    assert_eq!(found(&nobody, &[]), [""; 0]);
    assert_eq!(found(&nobody, &[(1, 0)]), ["0 of source-0 was handled 1 times by sink-1, expected 0"]);
}

#[test]
fn a_partition_is_for_whom_it_was_named() {
    let dispatcher = Dispatcher::Partition { partitions: 2, is_pinned: true };
    let own = partition_of(&key_of(0), 2);
    let with = |partition| (Scope::Global, Input { partitions: vec![partition], ..all() });
    let graph = fan(dispatcher, &[with(own), with(1 - own)]);
    assert_eq!(found(&graph, &[(1, 0)]), [""; 0]);
    assert_eq!(found(&graph, &[(2, 0)]), ["sink-2 was given 0 of source-0, which it does not want"]);
}

#[test]
fn what_no_graph_can_say_is_told() {
    let graph = fan(Dispatcher::Demand, &[(Scope::Global, all())]);
    let mut tally = Tally::new(&graph, ["n0".to_owned()]);
    tally.see(&handled(&graph, 1, 0, 0, 99));
    assert_eq!(tally.strange(), ["no source has emitted 99"]);
    tally.see(&handled(&graph, 1, 0, 7, 0));
    assert_eq!(tally.strange().len(), 2, "nobody is n7");
    let counts: BTreeMap<_, _> = [("handled", tally.count()), ("repeated", tally.repeated())].into();
    assert_eq!((counts["handled"], counts["repeated"]), (2, 0));
}
