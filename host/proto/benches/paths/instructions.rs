//! The work whose instructions are counted, by name.

use std::{hint::black_box, process};

use forebay_proto::wire::{self, Frame};

use crate::workloads::{Fed, SHAPES, Source, Way, decoded};

type Round = Box<dyn FnMut()>;

/// Each is set up when it is called.
fn workloads() -> Vec<(String, Box<dyn FnOnce() -> Round>)> {
    let mut all: Vec<(String, Box<dyn FnOnce() -> Round>)> = Vec::new();
    let [few, small, middling, large] = SHAPES;
    for (consumers, shape) in [(1, few), (3, few), (100, few), (3, small)] {
        let begin = move || -> Round {
            let mut source = Source::new(consumers, shape);
            Box::new(move || drop(black_box(source.round())))
        };
        all.push((format!("dispatch/{consumers}/{shape}"), Box::new(begin)));
    }
    for shape in [few, small, middling, large, few.routed(), small.routed()] {
        let encode = move || -> Round {
            let frame = Frame::Stage(shape.message());
            Box::new(move || drop(wire::encode(black_box(&frame))))
        };
        let decode = move || -> Round {
            let frame = shape.frame();
            Box::new(move || drop(decoded(black_box(&frame))))
        };
        all.push((format!("encode/{shape}"), Box::new(encode)));
        all.push((format!("decode/{shape}"), Box::new(decode)));
    }
    for shape in [few, small] {
        let consume = move || -> Round {
            let mut fed = Fed::new(shape);
            Box::new(move || drop(black_box(fed.round())))
        };
        let way = move || -> Round {
            let mut way = Way::new(shape);
            Box::new(move || way.round())
        };
        all.push((format!("consume/{shape}"), Box::new(consume)));
        all.push((format!("whole-way/{shape}"), Box::new(way)));
    }
    all
}

/// Lists the names, or does so many rounds of one of them.
pub(crate) fn run(name: Option<String>, rounds: Option<String>) {
    let Some(name) = name else {
        return workloads().iter().for_each(|(name, _)| println!("{name}"));
    };
    let rounds = rounds.and_then(|rounds| rounds.parse::<u32>().ok());
    let found = workloads().into_iter().find(|(known, _)| *known == name);
    let (Some((_, begin)), Some(rounds)) = (found, rounds) else {
        eprintln!("expected the name of a workload and a number of rounds");
        process::exit(2);
    };
    let mut round = begin();
    (0..rounds).for_each(|_| round());
}
