use super::*;

#[test]
fn does_what_the_port_says() {
    crate::disk::tests::check_disk(&MemoryDisk::new());
}

fn synced(content: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.write("f", content).unwrap();
    disk.sync("f").unwrap();
    disk.sync_dir("").unwrap();
    disk
}

#[test]
fn only_what_was_synced_survives() {
    let disk = synced(b"safe");
    disk.append("f", b" lost").unwrap();
    disk.write("unsynced name", b"x").unwrap();
    disk.sync("unsynced name").unwrap();
    disk.crash(Crash::Forget);
    assert_eq!((disk.read("f").unwrap(), disk.list("").unwrap()), (Bytes::from("safe"), vec!["f".to_string()]));
    disk.write("f", b"other").unwrap();
    disk.rename("f", "g").unwrap();
    disk.crash(Crash::Forget);
    assert_eq!(disk.read("f").unwrap(), "safe");
    disk.rename("f", "g").unwrap();
    disk.truncate("g", 1).unwrap();
    disk.sync_dir("").unwrap();
    disk.crash(Crash::Forget);
    assert_eq!(disk.read("g").unwrap(), "safe");
    disk.remove("g").unwrap();
    disk.crash(Crash::Forget);
    assert_eq!(disk.read("g").unwrap(), "safe");
    disk.remove("g").unwrap();
    disk.crash(Crash::Keep);
    assert_eq!(disk.list("").unwrap(), Vec::<String>::new());
    // Kept is not durable.
    disk.crash(Crash::Forget);
    assert_eq!(disk.read("g").unwrap(), "safe");
}

#[test]
fn seeds_find_torn_zeroed_and_reordered_changes() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let disk = synced(b"AB");
        disk.append("f", b"CD").unwrap();
        disk.append("f", b"EF").unwrap();
        disk.crash(Crash::Seed(seed));
        let found = disk.read("f").unwrap();
        assert!(found.starts_with(b"AB"));
        seen.insert(found);
    }
    for expected in ["AB", "ABC", "ABCDEF", "AB\0\0EF", "ABCD\0\0", "AB\0D"] {
        assert!(seen.contains(expected.as_bytes()), "{expected:?} never seen");
    }
    // A name that survives without its content, which rename without sync is known for.
    let torn = (0..100).any(|seed| {
        let disk = synced(b"old");
        disk.write("new", b"new").unwrap();
        disk.rename("new", "f").unwrap();
        disk.crash(Crash::Seed(seed));
        !matches!(&disk.read("f").unwrap()[..], b"old" | b"new")
    });
    assert!(torn);
}

#[test]
fn failure_strikes_at_its_number_and_crash_ends_it() {
    let disk = synced(b"a");
    disk.fail_after(1);
    disk.append("f", b"b").unwrap();
    assert!(!disk.has_failed());
    assert!(disk.append("f", b"c").is_err());
    assert!(disk.has_failed());
    assert!(disk.append("f", b"d").is_err());
    assert!(disk.sync("f").is_err());
    assert_eq!(disk.read("f").unwrap(), "abc");
    disk.crash(Crash::Forget);
    assert_eq!(disk.read("f").unwrap(), "a");
    disk.append("f", b"e").unwrap();
}

#[test]
fn full_disk_takes_a_part_and_frees_what_is_removed() {
    let disk = synced(b"12345");
    disk.set_capacity(Some(8));
    assert_eq!(disk.append("g", b"6789").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.read("g").unwrap(), "678");
    disk.remove("f").unwrap();
    disk.append("g", b"90123").unwrap();
    disk.write("h", b"").unwrap();
    disk.rename("h", "g").unwrap();
    disk.write("i", b"12345678").unwrap();
}

#[test]
fn disk_that_lies_about_syncs_loses_them() {
    let disk = synced(b"a");
    disk.ignore_sync(true);
    disk.append("f", b"b").unwrap();
    disk.sync("f").unwrap();
    disk.ignore_sync_dir(true);
    disk.rename("f", "g").unwrap();
    disk.sync_dir("").unwrap();
    disk.crash(Crash::Forget);
    assert_eq!(disk.read("f").unwrap(), "a");
}

#[test]
fn what_a_crash_would_leave_is_what_a_crash_leaves() {
    for seed in 0..50 {
        let disk = synced(b"AB");
        disk.append("f", b"CD").unwrap();
        disk.write("g", b"EF").unwrap();
        let all = disk.after_crash(Crash::Keep);
        let image = disk.after_crash(Crash::Seed(seed));
        assert_eq!(disk.read("f").unwrap(), "ABCD", "this one goes on");
        disk.crash(Crash::Seed(seed));
        assert_eq!(image.list("").unwrap(), disk.list("").unwrap());
        for name in disk.list("").unwrap() {
            assert_eq!(image.read(&name).unwrap(), disk.read(&name).unwrap());
        }
        all.crash(Crash::Forget);
        assert_eq!((all.read("f").unwrap(), all.read("g").unwrap()), (Bytes::from("ABCD"), Bytes::from("EF")));
    }
}
