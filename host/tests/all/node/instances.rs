//! Stages with several instances on a node, in whole nodes (Broadway's `:concurrency` and `:partition_by`).

use std::sync::Condvar;

use forebay_proto::batch::{BatchLimits, Columns};

use super::{resume::movable, *};

in_both_modes! {
    events_of_a_key_stay_with_one_instance_across_nodes,
}

/// Events with a key each, of `keys`.
fn keyed(limit: u64, keys: u64) -> Arc<dyn Plugin> {
    keyed_from(&Arc::new(AtomicBool::new(true)), limit, keys)
}

/// The same, once it may begin.
fn keyed_from(begins: &Arc<AtomicBool>, limit: u64, keys: u64) -> Arc<dyn Plugin> {
    let begins = Arc::clone(begins);
    Native::producer("keyed", move |_| {
        let (mut next, begins) = (0, Arc::clone(&begins));
        Ok(move |demand: u32| {
            let mut columns = Columns::default();
            while begins.load(Ordering::SeqCst) && next < limit && columns.ends.len() < demand as usize {
                columns.payloads.extend_from_slice(next.to_string().as_bytes());
                columns.ends.push(u32::try_from(columns.payloads.len()).unwrap());
                columns.keys.extend_from_slice((next % keys).to_string().as_bytes());
                columns.key_ends.push(u32::try_from(columns.keys.len()).unwrap());
                next += 1;
            }
            Ok(Batch::new(columns, &BatchLimits::default()).unwrap().into())
        })
    })
}

/// Node, instance, key and number of an event.
type OneTaken = (String, u32, String, u64);

/// Who took which events of which key, in order.
#[derive(Clone, Debug, Default)]
struct Taken(Arc<(Mutex<Vec<OneTaken>>, Condvar)>);

impl Taken {
    fn all(&self) -> Vec<OneTaken> {
        self.0.0.lock().unwrap().clone()
    }

    /// A consumer that first waits, with each batch in which this holds, until so many were taken.
    fn consumer(&self, waits_for: usize, with: fn(u64) -> bool) -> Arc<dyn Plugin> {
        let taken = self.clone();
        Native::consumer("taker", move |spec| {
            let (taken, node, instance) = (taken.clone(), spec.node.to_string(), spec.instance);
            Ok(move |delivery: GuestDelivery| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let number = |payload: &[u8]| text(payload).parse::<u64>().unwrap();
                let (all, changed) = &*taken.0;
                let mut all = all.lock().unwrap();
                if delivery.events.iter().any(|event| with(number(event.payload))) {
                    let waited = changed.wait_timeout_while(all, PATIENCE, |all| all.len() < waits_for).unwrap();
                    all = waited.0;
                }
                all.extend(
                    delivery
                        .events
                        .iter()
                        .map(|event| (node.clone(), instance, text(event.key), number(event.payload))),
                );
                changed.notify_all();
                Ok(Vec::new())
            })
        })
    }

    async fn until_all(&self, count: u64) {
        until("all were taken", async || self.all().len() as u64 >= count).await;
    }
}

/// Waits until a stage has so many instances.
async fn runs_in(world: &World, count: u32) {
    let resized = |_: &str, event: &NodeEvent| match event {
        NodeEvent::Resized { instances, .. } if *instances == count => Some(()),
        _ => None,
    };
    world.log.event(0, &format!("{count} instances"), resized).await;
}

async fn events_of_a_key_stay_with_one_instance_across_nodes(world: World) {
    const LIMIT: u64 = 3000;
    let taken = Taken::default();
    let text = numbers_with("dispatcher = \"broadcast\"", "concurrency = 4", (200, 100));
    let numbers = || {
        let plugins = [("counter", keyed(LIMIT, 30)), ("sink", taken.consumer(0, |_| false))];
        pipeline(&text, plugins)
    };
    let (_a, _b) = (world.start("a", &[], numbers()), world.start("b", &["a"], numbers()));
    taken.until_all(2 * LIMIT).await;
    for node in ["a", "b"] {
        let here: Vec<_> = taken.all().into_iter().filter(|(on, ..)| on == node).collect();
        let mut of_keys: BTreeMap<String, (BTreeSet<u32>, Vec<u64>)> = BTreeMap::new();
        for (_, instance, key, number) in here {
            let (instances, numbers) = of_keys.entry(key).or_default();
            // One instance does all at first, until the others have begun.
            if numbers.len() > 50 {
                instances.insert(instance);
            }
            numbers.push(number);
        }
        for (key, (instances, numbers)) in &of_keys {
            assert!(numbers.is_sorted() && numbers.len() == 100, "{node}, key {key}: {numbers:?}");
            assert_eq!(instances.len(), 1, "{node}, key {key}");
        }
        let used: BTreeSet<_> = of_keys.values().flat_map(|(instances, _)| instances).collect();
        assert_eq!(used.len(), 4, "{node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_event_holds_up_those_of_its_key_alone() {
    let (world, taken) = (World::new(), Taken::default());
    // Of ten keys, 500 events: the slow one comes after all that are not of its instance.
    let text = numbers_with("", "concurrency = 4", (1000, 500));
    let begins = Arc::default();
    let plugins = [("counter", keyed_from(&begins, 500, 10)), ("sink", taken.consumer(200, |number| number == 400))];
    let _node = world.start("a", &[], pipeline(&text, plugins));
    runs_in(&world, 4).await;
    begins.store(true, Ordering::SeqCst);
    taken.until_all(500).await;
    let of_slow: BTreeSet<_> = taken.all().iter().filter(|(.., number)| *number == 400).map(|of| of.1).collect();
    assert_eq!(of_slow.len(), 1, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_instance_of_a_producer_makes_its_part() {
    let (world, taken) = (World::new(), Taken::default());
    let part = Native::producer("part", |spec| {
        let (instance, mut next) = (u64::from(spec.instance), 0);
        Ok(move |demand: u32| {
            let numbers = next..(next + u64::from(demand)).min(100);
            next = numbers.end;
            Ok(of_numbers(numbers.start + 1000 * instance..numbers.end + 1000 * instance).into())
        })
    });
    let text = numbers_with("concurrency = 3", "", (60, 30));
    let _node = world.start("a", &[], pipeline(&text, [("counter", part), ("sink", taken.consumer(0, |_| false))]));
    taken.until_all(300).await;
    let mut numbers: Vec<u64> = taken.all().iter().map(|(.., number)| *number).collect();
    for part in 0..3 {
        let of_part: Vec<_> = numbers.iter().copied().filter(|number| number / 1000 == part).collect();
        assert_eq!(of_part, (1000 * part..1000 * part + 100).collect::<Vec<_>>(), "in order");
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_instances_end_with_their_stage() {
    let (world, ended) = (World::new(), Arc::new(Mutex::new(Vec::new())));
    let told = Arc::clone(&ended);
    let sink = Native::consumer("ends", move |spec| {
        let end = Ended(spec.instance, Arc::clone(&told));
        Ok(move |_: GuestDelivery| {
            let _ = &end;
            Ok(Vec::new())
        })
    });
    let text = numbers_with("", "concurrency = 3", (60, 30));
    let node = world.start("a", &[], pipeline(&text, [("counter", counter(&world.log, u64::MAX)), ("sink", sink)]));
    runs_in(&world, 3).await;
    assert!(end(node).await.cut_short.is_empty());
    let mut ended = ended.lock().unwrap().clone();
    ended.sort_unstable();
    assert_eq!(ended, [0, 1, 2]);
}

#[derive(Debug)]
struct Ended(u32, Arc<Mutex<Vec<u32>>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[test]
fn a_state_is_not_taken_apart() {
    let text = numbers_with("concurrency = 2", "", (60, 30));
    let load = |text: &str| {
        let parsed = Pipeline::parse(text, "test.toml").unwrap();
        let log = Log::new();
        let plugins: [(StageName, Arc<dyn Plugin>); 2] = [
            ("counter".parse().unwrap(), movable(&log, 10, None)),
            ("sink".parse().unwrap(), Taken::default().consumer(0, |_| false)),
        ];
        LoadedPipeline::new(parsed, plugins.into_iter().collect()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(
        load(&text).unwrap_err(),
        "stage `counter` has `concurrency` of 2, and its plugin exports `checkpoint`: its state would be in as many parts, \
         of which a successor could be given one; set `checkpoint = \"off\"` if it can do without, or `concurrency = 1`"
    );
    assert_eq!(load(&text.replace("concurrency = 2", "concurrency = 2\ncheckpoint = \"off\"")), Ok(()));
}
