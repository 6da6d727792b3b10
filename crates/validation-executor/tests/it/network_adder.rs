//! The test parachains, through workers and in process; and a known answer of the network's adder, which ours
//! must give as well.

use std::sync::Arc;

use deterministic::{BoxFuture, Compute, ComputeKind};
use ports::ValidationBackend;
use test_parachains::{adder, burner};
use validation_executor::InProcess;

use crate::kit::{Kit, params, request, result};

const PARENT_HEAD: &str = "01000000000000000102030405060708090001020304050607080900010203040506070809000102\
                           30f692b256e24009bcb34d0ee84da73c298afacc0924e01105e2eb0f01a87fe2";
const CHILD_HEAD: &str = "02000000000000007bcfce08dbe38852eca90e642d641fb19aa0dcf53b6a4ca87a6da4a9162e9027\
                          675c1f4e4248fc4018c281a280014d93c8e5bdf26fc6ec8b108f13f571e98ad2";
const BLOCK_DATA: &str = "01000000000000000100000000000000";

fn bytes(hex_text: &str) -> Vec<u8> {
    hex::decode(hex_text).expect("hexadecimal digits")
}

#[tokio::test]
async fn our_adder_gives_the_networks_answer() {
    let kit = Kit::new();
    let params = params(&bytes(PARENT_HEAD), &bytes(BLOCK_DATA));
    assert_eq!(kit.run(adder::WASM, &params).await.unwrap(), result(&bytes(CHILD_HEAD)));
}

#[tokio::test]
async fn what_collators_make_is_valid() {
    let kit = Kit::new();
    let (head, block) = adder::collate(&adder::genesis_head(), 1_000).unwrap();
    assert_eq!(kit.run(adder::WASM, &params(&adder::genesis_head(), &block)).await.unwrap(), result(&head));
    let genesis = burner::genesis_head();
    let (head, block) = burner::collate(&genesis, 3 * 1024 * 1024, 1_000).unwrap();
    assert_eq!(kit.run(burner::WASM, &params(&genesis, &block)).await.unwrap(), result(&head));
    let wrong = kit.run(burner::WASM, &params(&head, &block)).await;
    assert!(matches!(wrong, Err(ports::ValidationError::Invalid(_))), "{wrong:?}");
}

struct Here;

impl Compute for Here {
    fn run(&self, _: ComputeKind, _: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        work();
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn in_process_gives_the_same_answers() {
    let backend = InProcess::new(Arc::new(Here)).unwrap();
    let genesis = burner::genesis_head();
    let (head, block) = burner::collate(&genesis, 100_000, 1_000).unwrap();
    let good = request(burner::WASM, &params(&genesis, &block));
    assert_eq!(backend.execute(good.clone()).await.unwrap(), result(&head));
    let bad = backend.execute(request(burner::WASM, &params(&head, &block))).await;
    assert_eq!(bad, Kit::new().pool.execute(request(burner::WASM, &params(&head, &block))).await);
    let heavy =
        burner::BlockData { number: 1, iterations: u64::MAX, processed_downward: 0, payload: &[], new_code: None }
            .encode();
    let endless = backend.execute(request(burner::WASM, &params(&genesis, &heavy))).await;
    assert_eq!(endless, Err(ports::ValidationError::TimedOut { limit_ms: 12_000 }));
}
