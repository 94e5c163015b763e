use super::*;
use crate::fleet::run::Tally;
use crate::ids::StdStream;
use crate::session::CommandNews;

fn host(index: usize) -> HostId {
    HostId::new(index, 0)
}

fn command(index: usize) -> CommandId {
    CommandId::new(index, 0)
}

fn run() -> RunId {
    RunId::new(0, 0)
}

fn output(index: usize) -> Entry {
    Entry::Command(command(index), CommandNews::Output(StdStream::Stdout))
}

fn batch(batch: usize) -> RunNews {
    RunNews::BatchDone { batch, tally: Tally::default(), left: 1 }
}

/// Takes an event and, if it is output of a host, `bytes` of it, of which there is more.
fn take(queue: &mut EventQueue, bytes: usize) -> Option<usize> {
    match queue.next()? {
        Entry::Command(id, news) => {
            queue.took(host(id.index()), bytes, true);
            queue.put_back(host(id.index()), Entry::Command(id, news), false);
            Some(id.index())
        }
        entry => panic!("{entry:?}"),
    }
}

fn names(queue: &mut EventQueue) -> Vec<String> {
    std::iter::from_fn(|| queue.next())
        .map(|entry| match entry {
            Entry::End { command, .. } => format!("end {}", command.index()),
            Entry::Command(id, _) => format!("output {}", id.index()),
            Entry::Run(_, RunNews::BatchDone { batch, .. }) => format!("batch {batch}"),
            Entry::Run(_, RunNews::Done(_)) => "done".to_owned(),
            Entry::Drained => "drained".to_owned(),
            entry => format!("{entry:?}"),
        })
        .collect()
}

#[test]
fn a_host_with_much_output_delays_others_by_a_quantum() {
    let mut queue = EventQueue::default();
    queue.grant(Budget::default().lines(1_000_000).bytes(usize::MAX));
    queue.push(host(0), output(0));
    assert_eq!(take(&mut queue, 2), Some(0));
    queue.push(host(1), output(1));
    let before = std::iter::from_fn(|| take(&mut queue, 2)).position(|index| index == 1).unwrap();
    assert!(before * 66 <= 4096, "{before} lines of another host came first");
}

#[test]
fn hosts_share_the_bytes_equally_however_long_their_lines_are() {
    let mut queue = EventQueue::default();
    queue.grant(Budget::default().lines(1_000_000).bytes(usize::MAX));
    let lengths = [2, 300, 64 * 1024];
    (0..3).for_each(|index| queue.push(host(index), output(index)));
    let mut taken = [0; 3];
    for _ in 0..100_000 {
        let next = match queue.next().unwrap() {
            Entry::Command(id, _) => id.index(),
            entry => panic!("{entry:?}"),
        };
        queue.took(host(next), lengths[next], true);
        queue.put_back(host(next), output(next), false);
        taken[next] += lengths[next] + 64;
    }
    let (least, most) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
    assert!(most - least <= 2 * 64 * 1024, "{taken:?}");
}

#[test]
fn a_grant_ends_with_its_lines_or_its_bytes() {
    let mut queue = EventQueue::default();
    queue.push(host(0), output(0));
    for (budget, bytes, events) in [
        (Budget::default(), 1, 256),
        (Budget::default(), 10_000, 27),
        (Budget::default().lines(3), 1, 3),
        (Budget::default().lines(0), 1, 1),
        (Budget::default().bytes(0), 100, 1),
        (Budget::default().bytes(101), 100, 2),
    ] {
        queue.grant(budget);
        assert_eq!(std::iter::from_fn(|| take(&mut queue, bytes)).count(), events, "{budget:?}");
        assert!(!queue.is_empty());
        assert_eq!(queue.len(), 0, "rests do not fill the queue");
    }
}

#[test]
fn the_end_of_a_command_comes_after_its_output() {
    let mut queue = EventQueue::default();
    queue.push(host(0), output(0));
    assert_eq!(take(&mut queue, 9_000), Some(0));
    // The command is running, so other events of the host overtake its rest.
    queue.push_end(host(0), command(7), run());
    queue.push_end(host(0), command(0), run());
    let Some(Entry::Command(..)) = queue.next() else { panic!() };
    queue.put_back(host(0), output(0), true);
    assert_eq!(names(&mut queue), ["output 0", "end 7", "end 0"]);
}

#[test]
fn news_of_a_run_come_after_the_ends_that_they_report_and_wait_for_no_others() {
    let mut queue = EventQueue::default();
    let done = RunNews::Done(Tally::default());
    // Host 0 has output before the end of its command, and host 1 has none.
    queue.push(host(0), output(0));
    queue.push_end(host(0), command(0), run());
    queue.push_end(host(1), command(1), run());
    queue.push_news(run(), batch(0));
    queue.push_end(host(2), command(2), run());
    let mut seen = Vec::new();
    for _ in 0..10 {
        let Some(entry) = queue.next() else { break };
        match entry {
            Entry::Command(id, _) if seen.len() < 5 => {
                queue.took(host(0), 5_000, true);
                queue.put_back(host(0), output(id.index()), true);
                seen.push("output".to_owned());
            }
            Entry::Command(..) => {}
            Entry::End { command, .. } => seen.push(format!("end {}", command.index())),
            Entry::Run(..) => seen.push("news".to_owned()),
            entry => panic!("{entry:?}"),
        }
    }
    assert_eq!(seen, ["output", "end 1", "end 2", "output", "output", "end 0", "news"]);
    queue.push_news(run(), batch(1));
    queue.push_end(host(0), command(3), run());
    queue.push_news(run(), batch(2));
    queue.push_news(run(), done);
    queue.push_drained();
    // Batch 1 waits for nothing. The others wait for the end of command 3, and the drain for all.
    assert_eq!(names(&mut queue), ["batch 1", "end 3", "batch 2", "done", "drained"]);
    assert!(queue.is_empty() && queue.ends.is_empty());
}
