//! Power is lost at every single operation of the disk, and what was acknowledged is there again.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::*;
use crate::registry::raft::PowerDisk;

/// What may be found of each event, by its number: a letter with so many attempts, or none.
type Possible = BTreeMap<u64, Vec<Option<u32>>>;

enum Step {
    /// Several puts at once, each of letters with a number and attempts.
    Put(Vec<Vec<(u64, u32)>>),
    /// Removes the letters of these events.
    Remove(Vec<u64>),
}

fn steps() -> Vec<Step> {
    vec![
        Step::Put(vec![vec![(1, 1)]]),
        Step::Put(vec![vec![(2, 1), (3, 1)], vec![(4, 1)], vec![(5, 1), (6, 1)]]),
        Step::Put(vec![vec![(2, 2)], vec![(7, 1)]]),
        Step::Remove(vec![3, 7]),
        Step::Put(vec![vec![(3, 2)]]),
        Step::Put(vec![(10..40).map(|seq| (seq, 1)).collect(), vec![(8, 1)]]),
        Step::Remove((10..30).collect()),
        Step::Put(vec![vec![(1, 3)], vec![(10, 2)]]),
    ]
}

/// Of different lengths, so that pages fill up.
fn version((seq, attempts): (u64, u32)) -> Letter {
    let event = Batch::from_payloads([vec![b'x'; usize::try_from(seq).unwrap() * 100]]);
    Letter { attempts, event, ..letter("a", seq) }
}

fn place(disk: &PowerDisk) -> Place {
    let disk = disk.clone();
    Place::Test(TestDisk(Box::new(move || Box::new(disk.clone()))))
}

/// Carries out all steps until power is lost. Gives what may be found, and the highest number given.
async fn run(disk: &PowerDisk) -> (Possible, u64) {
    let (mut possible, mut numbers, mut highest) = (Possible::new(), BTreeMap::new(), 0);
    let Ok(store) = DeadLetters::at(place(disk), Bounds::default()) else { return (possible, highest) };
    for step in steps() {
        let went_well = match step {
            Step::Put(parts) => {
                let put = |part: &Vec<(u64, u32)>| store.put(part.iter().copied().map(version).collect());
                let answers = join_all(parts.iter().map(put)).await;
                let went_well = answers.iter().all(Result::is_ok);
                for (part, answer) in parts.iter().zip(answers) {
                    for (at, (seq, attempts)) in part.iter().enumerate() {
                        let found = possible.entry(*seq).or_insert_with(|| vec![None]);
                        if let Ok(ids) = &answer {
                            found.clear();
                            numbers.insert(*seq, ids[at]);
                            highest = highest.max(ids[at].0);
                        }
                        found.push(Some(*attempts));
                    }
                }
                went_well
            }
            Step::Remove(seqs) => {
                let went_well = store.remove(seqs.iter().map(|seq| numbers[seq]).collect()).await.is_ok();
                for seq in seqs {
                    let found = possible.get_mut(&seq).unwrap();
                    if went_well {
                        found.clear();
                    }
                    found.push(None);
                }
                went_well
            }
        };
        if !went_well {
            break;
        }
    }
    (possible, highest)
}

async fn check(disk: PowerDisk, possible: &Possible, highest: u64, case: &str) {
    let store = match DeadLetters::at(place(&disk), Bounds::default()) {
        Ok(store) => store,
        Err(error) => panic!("{case}: {error:?}"),
    };
    let mut found = BTreeMap::new();
    for summary in store.list(&Filter::default(), None, usize::MAX).await {
        let letter = store.get(summary.id).await.unwrap().unwrap();
        assert!(same(&letter, &version((letter.seq.0, letter.attempts))), "{case}: {letter:?}");
        found.insert(letter.seq.0, letter.attempts);
    }
    for (seq, possible) in possible {
        let found = found.remove(seq);
        assert!(possible.contains(&found), "{case}: event {seq} is {found:?}, expected one of {possible:?}");
    }
    assert!(found.is_empty(), "{case}: nobody put {found:?}");
    let next = put_one(&store, letter("b", 1)).await.unwrap();
    assert!(next > highest, "{case}: number {next} was given before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_power_is_lost_at_any_operation() {
    let (mut cuts, mut operation) = (0, 1);
    loop {
        let disk = PowerDisk::new();
        // A new file gets its name when it is whole; a disk without names cannot show that.
        drop(DeadLetters::at(place(&disk), Bounds::default()).unwrap());
        disk.cut_at(operation);
        let (possible, highest) = run(&disk).await;
        let ended = !disk.was_cut();
        // The same cut leaves different remains.
        for seed in 0..4 {
            let again = disk.powered_again(seed * 1_000_000 + operation as u64);
            check(again, &possible, highest, &format!("cut at operation {operation}, seed {seed}")).await;
            cuts += 1;
        }
        if ended {
            break;
        }
        operation += 1;
    }
    println!("{cuts} remains of {operation} cuts looked at");
    assert!(cuts > 200, "{cuts} cuts only: this test does not cut any more");
}
