//! Code that traps, lies, loops, grows or does not fit. None of it may be anything but invalid, and the same worker
//! goes on with the next request.

use ports::ValidationError;
use test_parachains::adder;

use crate::kit::{ENDLESS, Kit, SHORT, module, params, result};

async fn reason(kit: &Kit, code: &[u8]) -> String {
    match kit.run(code, b"some parameters").await {
        Err(ValidationError::Invalid(reason)) => reason,
        other => panic!("expected invalid, found {other:?}"),
    }
}

/// What it is, what stands beside `validate_block`, its body, and a part of the reason.
type Case = (&'static str, &'static str, &'static str, &'static str);

const BODIES: &[Case] = &[
    ("trap", "", "(unreachable)", "unreachable"),
    ("division", "", "(i64.div_u (i64.const 1) (i64.const 0))", "divide by zero"),
    ("recursion", "(func $f (call $f) (drop (i32.const 0)))", "(call $f) (i64.const 0)", "call stack exhausted"),
    ("result of one byte after its memory", "", "(i64.const 0x100020000)", "outside"),
    ("result of 4 GiB", "", "(i64.const -1)", "at most"),
    ("result that ends after its memory", "", "(i64.const 0x90001fff8)", "outside"),
    ("read outside", "", "(i64.load (i32.const -8))", "out of bounds"),
    ("data outside", "(data (i32.const 131070) \"too long\")", "(i64.const 0)", "out of bounds"),
    ("large table", "(table 1000001 funcref)", "(i64.const 0)", "at most 1000000"),
    ("trap at start", "(func $start (unreachable)) (start $start)", "(i64.const 0)", "unreachable"),
];

const HOST_FUNCTIONS: &[Case] = &[
    ("strange import", "(import \"env\" \"global\" (global i32))", "(i64.const 0)", "no kind"),
    (
        "unknown function",
        "(import \"env\" \"open_file\" (func $f))",
        "(call $f) (i64.const 0)",
        "open_file, which does not exist",
    ),
    (
        "another type",
        "(import \"env\" \"ext_allocator_free_version_1\" (func (param i64)))",
        "(i64.const 0)",
        "another type",
    ),
    (
        "hash of what is not there",
        "(import \"env\" \"ext_hashing_blake2_256_version_1\" (func $f (param i64) (result i32)))",
        "(drop (call $f (i64.const -1))) (i64.const 0)",
        "outside of the memory",
    ),
    (
        "free of what is none",
        "(import \"env\" \"ext_allocator_free_version_1\" (func $f (param i32)))",
        "(call $f (i32.const 3)) (i64.const 0)",
        "freed that is none",
    ),
    (
        "allocation at start",
        "(import \"env\" \"ext_allocator_malloc_version_1\" (func $f (param i32) (result i32)))
         (func $start (drop (call $f (i32.const 1)))) (start $start)",
        "(i64.const 0)",
        "before the code's memory is known",
    ),
    (
        "log outside",
        "(import \"env\" \"ext_logging_log_version_1\" (func $f (param i32 i64 i64)))",
        "(call $f (i32.const 1) (i64.const 0) (i64.const -2)) (i64.const 0)",
        "outside of the memory",
    ),
];

/// Whole modules: what it is, the text, and a part of the reason.
const MODULES: &[(&str, &str, &str)] = &[
    ("no exports", "(module)", "no memory"),
    ("no entry", "(module (memory (export \"memory\") 1))", "no function validate_block"),
    (
        "no heap",
        "(module (memory (export \"memory\") 1)
           (func (export \"validate_block\") (param i32 i32) (result i64) (i64.const 0)))",
        "__heap_base",
    ),
    (
        "another entry",
        "(module (memory (export \"memory\") 1)
           (func (export \"validate_block\") (param i32) (result i64) (i64.const 0)))",
        "something else",
    ),
    ("large memory", "(module (memory (export \"memory\") 2081))", "at most 2080"),
    ("large imported memory", "(module (import \"env\" \"memory\" (memory 2081)))", "at most 2080"),
    (
        "heap at the end",
        "(module (memory (export \"memory\") 1) (global (export \"__heap_base\") i32 (i32.const -1))
           (func (export \"validate_block\") (param i32 i32) (result i64) (i64.const 0)))",
        "no place",
    ),
];

const NO_WASM: &[(&str, &[u8], &str)] = &[
    ("no wasm", b"neither code nor anything", "compile"),
    ("empty", b"", "compile"),
    ("text", b"(module)", "compile"),
    ("compressed garbage", b"\x52\xbc\x53\x76\x46\xdb\x8e\x05garbage", "compressed"),
];

#[tokio::test]
async fn invalid_whatever_it_tries() {
    let kit = Kit::with(|config| config.workers = 1);
    let texts = MODULES.iter().map(|(what, text, reason)| (*what, wat::parse_str(text).unwrap(), *reason));
    let parts = BODIES.iter().chain(HOST_FUNCTIONS);
    let parts = parts.map(|(what, rest, body, reason)| (*what, module(rest, body), *reason));
    let bytes = NO_WASM.iter().map(|(what, bytes, reason)| (*what, bytes.to_vec(), *reason));
    for (what, code, expected) in texts.chain(parts).chain(bytes) {
        let reason = reason(&kit, &code).await;
        assert!(reason.contains(expected), "{what}: {reason}");
    }
    // The worker that saw all this still works, and is the first one.
    let (head, block) = adder::collate(&adder::genesis_head(), 0).unwrap();
    let good = params(&adder::genesis_head(), &block);
    assert_eq!(kit.run(adder::WASM, &good).await.unwrap(), result(&head));
    assert_eq!((kit.pool.statistics().workers_started, kit.pool.statistics().retried), (1, 0));
}

#[tokio::test]
async fn loops_end_with_their_computing_time() {
    let kit = Kit::with(|config| {
        config.workers = 1;
        config.approval_cpu_timeout = SHORT;
    });
    let loops = [module("", ENDLESS), module(&format!("(func $start {ENDLESS}) (start $start)"), "(i64.const 0)")];
    for code in loops {
        assert_eq!(kit.run(&code, b"").await, Err(ValidationError::TimedOut { limit_ms: 100 }));
    }
    assert_eq!(kit.pool.statistics().workers_started, 1, "only the child is killed");
}

/// Growth stops at the limit, and the code sees it; the answer tells how many pages it got.
#[tokio::test]
async fn memory_grows_no_further_than_allowed() {
    let kit = Kit::new();
    let greedy = "(i64.shl (i64.extend_i32_u (i32.eq (memory.grow (i32.const -1)) (i32.const -1))) (i64.const 32))";
    assert_eq!(kit.run(&module("", greedy), b"").await.unwrap().len(), 1, "refused, and the code goes on");
    let count = "(local $pages i32)
        (loop $more
          (local.set $pages (memory.size))
          (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (i32.store (i32.const 0) (local.get $pages))
        (i64.const 0x400000000)";
    assert_eq!(kit.run(&module("", count), b"").await.unwrap()[..], 2080u32.to_le_bytes());
    let own_limit = String::from_utf8(Vec::from(
        &b"(module (memory (export \"memory\") 2 5) (global (export \"__heap_base\") i32 (i32.const 1024))
           (func (export \"validate_block\") (param i32 i32) (result i64) "[..],
    ))
    .unwrap();
    let own_limit = wat::parse_str(format!("{own_limit} {count}))")).unwrap();
    assert_eq!(kit.run(&own_limit, b"").await.unwrap()[..], 5u32.to_le_bytes());
    let endless_allocations = module(
        "(import \"env\" \"ext_allocator_malloc_version_1\" (func $malloc (param i32) (result i32)))",
        "(loop $more (drop (call $malloc (i32.const 1000000))) (br $more)) (unreachable)",
    );
    assert!(reason(&kit, &endless_allocations).await.contains("the heap is full"));
}

/// What code logs last is part of the reason; host functions that exist answer.
#[tokio::test]
async fn host_functions_answer() {
    let kit = Kit::new();
    let logs = module(
        "(import \"env\" \"ext_logging_log_version_1\" (func $log (param i32 i64 i64)))
         (data (i32.const 16) \"panicked at the disco\")",
        "(call $log (i32.const 1) (i64.const 0) (i64.const 0x1500000010)) (unreachable)",
    );
    assert!(reason(&kit, &logs).await.contains("panicked at the disco"));
    let hashes = module(
        "(import \"env\" \"ext_hashing_blake2_256_version_1\" (func $hash (param i64) (result i32)))",
        "(i64.or (i64.const 0x2000000000) (i64.extend_i32_u (call $hash
           (i64.or (i64.shl (i64.extend_i32_u (local.get $len)) (i64.const 32))
                   (i64.extend_i32_u (local.get $ptr))))))",
    );
    assert_eq!(kit.run(&hashes, b"data").await.unwrap(), primitives::blake2_256(b"data").0[..]);
    let unused =
        module("(import \"env\" \"ext_storage_get_version_1\" (func (param i64) (result i64)))", "(i64.const 0)");
    assert_eq!(kit.run(&unused, b"").await.unwrap(), b""[..]);
    let imported_memory = wat::parse_str(
        "(module (import \"env\" \"memory\" (memory 1)) (global (export \"__heap_base\") i32 (i32.const 8))
           (func (export \"validate_block\") (param i32 i32) (result i64) (i64.or
             (i64.extend_i32_u (local.get 0)) (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)))))",
    )
    .unwrap();
    assert_eq!(kit.run(&imported_memory, b"there and back").await.unwrap(), b"there and back"[..]);
}
