//! Everything is done, once, whoever comes when; most of these tests end by themselves only if no thread is forgotten.

use super::*;
use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// Work that is worth sharing.
const MUCH: usize = usize::MAX;

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap(), |_| ()).unwrap()
}

/// How often each of so many tasks is done.
fn times_done(tasks: usize) -> Vec<u64> {
    let done: Vec<AtomicU64> = (0..tasks).map(|_| AtomicU64::new(0)).collect();
    for_each_with(tasks, MUCH, || (), |(), index| _ = done[index].fetch_add(1, Relaxed));
    done.into_iter().map(AtomicU64::into_inner).collect()
}

#[test]
fn each_task_is_done_once_by_any_number_of_threads() {
    for threads in [1, 2, 3, 9] {
        let mut pool = pool(threads);
        for round in 0..500 {
            let tasks = [0, 1, 2, 7, 64, 1000][round % 6];
            assert_eq!(
                pool.install(|| times_done(tasks)),
                vec![1; tasks],
                "{threads} threads, round {round}"
            );
        }
    }
}

#[test]
fn each_row_and_each_item_is_given_out_once() {
    let mut pool = pool(3);
    let mut out = vec![0.0; 700 * 50];
    let mut pair = (out.clone(), out.clone());
    let mut items: Vec<usize> = (0..999).collect();
    pool.install(|| {
        for_each_row(&mut out, 50, |row, out| out.iter_mut().for_each(|x| *x += row as f32));
        for_each_row_pair((&mut pair.0, &mut pair.1), 50, |row, a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| (*a, *b) = (*a + row as f32, *b - row as f32));
        });
        for_each_of(&mut items, MUCH, |index, item| *item += index);
    });
    let expected: Vec<f32> = (0..out.len()).map(|i| (i / 50) as f32).collect();
    assert_eq!((&out, &pair.0), (&expected, &expected));
    assert!(pair.1.iter().zip(&expected).all(|(found, expected)| *found == -expected));
    assert!(items.iter().enumerate().all(|(index, item)| *item == 2 * index));
}

/// Each task waits for one more thread, awake or asleep.
#[test]
fn threads_come_whether_they_look_or_sleep() {
    for threads in [2, 3, 5] {
        let mut pool = pool(threads);
        for pause in [0, 0, 50, 1000, 5000, 0, 20_000] {
            let all = Barrier::new(threads);
            pool.install(|| for_each_with(threads, MUCH, || (), |(), _| _ = all.wait()));
            thread::sleep(Duration::from_micros(pause));
        }
    }
}

#[test]
fn tasks_within_tasks_stay_on_their_thread() {
    let mut pool = pool(3);
    let done = AtomicU64::new(0);
    pool.install(|| {
        assert_eq!(threads(), 3);
        let outer = |(): &mut (), _| {
            let own = thread::current().id();
            assert_eq!(threads(), 1);
            for_each_with(
                5,
                MUCH,
                || (),
                |(), _| {
                    assert_eq!(thread::current().id(), own);
                    done.fetch_add(1, Relaxed);
                },
            );
        };
        for_each_with(20, MUCH, || (), outer);
        assert_eq!(threads(), 3, "the pool is there again");
    });
    assert_eq!(done.into_inner(), 100);
    assert_eq!(threads(), rayon::current_num_threads(), "what was before is there again");
}

#[test]
fn a_panic_is_the_callers_and_the_pool_goes_on() {
    let mut pool = pool(3);
    let caller = thread::current().id();
    for (round, by_the_caller) in [true, false].into_iter().cycle().take(40).enumerate() {
        let all = Barrier::new(3);
        let fails = || {
            for_each_with(
                3,
                MUCH,
                || (),
                |(), _| {
                    all.wait();
                    if (thread::current().id() == caller) == by_the_caller {
                        std::panic::panic_any(round);
                    }
                },
            );
        };
        let panic = catch_unwind(AssertUnwindSafe(|| pool.install(fails))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&round));
        assert_eq!(pool.install(|| times_done(100)), [1; 100]);
        assert_eq!(threads(), rayon::current_num_threads());
    }
    let scratch = || -> () { panic!("no scratch") };
    let fails = || for_each_with(9, MUCH, scratch, |(), _| ());
    catch_unwind(AssertUnwindSafe(|| pool.install(fails))).unwrap_err();
    assert_eq!(pool.install(|| times_done(100)), [1; 100]);
}

/// More threads than any machine has cores, of pools that know nothing of each other.
#[test]
fn pools_side_by_side_do_not_keep_each_other() {
    let work = |seed: u64| {
        let mut pool = pool(2 + seed as usize % 4);
        for round in 0..300 {
            assert_eq!(pool.install(|| times_done(16)), [1; 16], "pool {seed}, round {round}");
            match (round * 7 + seed) % 40 {
                0 => thread::sleep(Duration::from_micros(300)),
                pause if pause < 8 => thread::sleep(Duration::from_micros(pause * 10)),
                _ => {}
            }
        }
    };
    thread::scope(|scope| _ = [0, 1, 2, 3, 4, 5].map(|seed| scope.spawn(move || work(seed))));
}

#[test]
fn a_pool_may_be_used_from_one_thread_and_then_from_another() {
    let mut pool = pool(3);
    for _ in 0..50 {
        pool = thread::spawn(move || {
            assert_eq!(pool.install(|| times_done(64)), [1; 64]);
            pool
        })
        .join()
        .unwrap();
    }
    rayon::scope(|scope| scope.spawn(|_| assert_eq!(pool.install(|| times_done(64)), [1; 64])));
}

#[test]
fn threads_are_numbered_and_end_with_their_pool() {
    let (numbers, alive) = (Arc::new(AtomicU64::new(0)), Arc::new(()));
    for used in [false, true] {
        let (seen, held) = (numbers.clone(), alive.clone());
        let start = move |index: usize| {
            let _ = &held;
            seen.fetch_add(1 << (8 * index), SeqCst);
        };
        let mut pool = Pool::new(NonZeroUsize::new(4).unwrap(), start).unwrap();
        if used {
            let all = Barrier::new(4);
            pool.install(|| for_each_with(4, MUCH, || (), |(), _| _ = all.wait()));
        }
        drop(pool);
        let started = Instant::now();
        while Arc::strong_count(&alive) > 1 {
            assert!(started.elapsed() < Duration::from_secs(60), "a thread has not ended");
            thread::yield_now();
        }
    }
    assert_eq!(numbers.load(SeqCst), 0x02_02_02_00);
}

/// The child runs `true` if it has computed.
#[test]
#[cfg(unix)]
fn a_forked_child_computes_alone() {
    use std::{os::unix::process::CommandExt, process::Command, sync::Mutex};
    let mut pool = pool(3);
    pool.install(|| times_done(64));
    let pool = Arc::new(Mutex::new(pool));
    for pause in [0, 0, 10_000] {
        thread::sleep(Duration::from_micros(pause));
        let inherited = pool.clone();
        let compute = move || {
            let done = inherited.lock().unwrap().install(|| times_done(64));
            if done == [1; 64] { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
        };
        let mut command = Command::new("true");
        // SAFETY: what it calls takes no lock that a thread of the parent may hold, the allocator's being there after a fork.
        unsafe { command.pre_exec(compute) };
        assert!(command.status().unwrap().success());
    }
    assert_eq!(pool.lock().unwrap().install(|| times_done(64)), [1; 64]);
}
