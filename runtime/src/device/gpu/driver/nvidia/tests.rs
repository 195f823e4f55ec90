//! With a GPU: a copy there and back, and what the driver refuses. Without one: what is said of it.

use super::*;

/// The GPU, or none after what is said of its absence was checked. Says which, for whoever reads the tests' output.
fn gpu() -> Option<Cuda> {
    match Cuda::open(0) {
        Ok(cuda) => {
            eprintln!("runs on {:?}", cuda.device_info());
            Some(cuda)
        }
        Err(error @ DriverError::Absent { .. }) => {
            eprintln!("SKIPPED: {error}");
            let said = error.to_string();
            assert!(said.starts_with("there is no GPU to run on: "), "{said}");
            assert!(
                said.contains("driver") && said.contains("; "),
                "what was looked for, and the remedy: {said}"
            );
            None
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_missing_driver_is_said_with_its_remedy() {
    let Some(cuda) = gpu() else { return };
    let info = cuda.device_info();
    assert!(info.driver >= (13, 0) && info.multiprocessors > 0 && info.l2_bytes > 0, "{info:?}");
    assert!(cuda.free_memory().unwrap() <= info.total_memory);
}

#[test]
fn a_gpu_beyond_the_last_is_absent() {
    let Err(error) = Cuda::open(4096) else { panic!("no machine has as many GPUs") };
    assert!(matches!(error, DriverError::Absent { .. }), "{error}");
}

#[test]
fn bytes_go_there_and_back() {
    let Some(cuda) = gpu() else { return };
    // More than both halves of the staging memory, and no multiple of anything.
    let bytes: Vec<u8> =
        (0..(70 << 20) + 77).map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let memory = cuda.allocate("a test", bytes.len() as u64 + 3).unwrap();
    let mut back = vec![1; bytes.len() + 3];
    cuda.download(&memory, 0, &mut back).unwrap();
    assert!(back.iter().all(|&byte| byte == 0), "memory is zeroed");
    cuda.upload(&memory, 3, &bytes).unwrap();
    for (index, byte) in bytes.iter().enumerate().take(1000).step_by(7) {
        cuda.upload(&memory, 3 + index as u64, &[!byte]).unwrap();
        cuda.upload(&memory, 3 + index as u64, &[*byte]).unwrap();
    }
    cuda.download(&memory, 0, &mut back).unwrap();
    assert_eq!(back[..3], [0; 3]);
    assert!(back[3..] == bytes, "what was written is read");
}

#[test]
fn more_memory_than_there_is_is_refused_by_name() {
    let Some(cuda) = gpu() else { return };
    let bytes = 2 * cuda.device_info().total_memory;
    match cuda.allocate("KV cache", bytes) {
        Err(DriverError::Memory { what: "KV cache", bytes: asked, .. }) => assert_eq!(asked, bytes),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{bytes} bytes were allocated"),
    }
    cuda.allocate("a test", 256).expect("nothing else suffers");
}

#[test]
fn only_launches_are_recorded_and_time_is_kept() {
    let Some(cuda) = gpu() else { return };
    let memory = cuda.allocate("a test", 256).unwrap();
    let refused = cuda.record(&mut || cuda.upload(&memory, 0, &[1]));
    assert!(matches!(refused, Err(DriverError::Failed { .. })));
    let nothing = cuda.record(&mut || Ok(())).unwrap();
    let (start, end) = (cuda.event().unwrap(), cuda.event().unwrap());
    cuda.record_event(&start).unwrap();
    cuda.replay(&nothing).unwrap();
    cuda.record_event(&end).unwrap();
    assert!(cuda.elapsed_ms(&start, &end).unwrap() >= 0.0);
    cuda.synchronize().unwrap();
}
