//! What the enciphering of a PIN leaves in the memory of this process: read from /proc/self/mem, while the
//! thread that did it still has its stack. One test only: what the search of another one reads would be in
//! memory too.
use payterm_primitives as primitives;
use payterm_schema::secret::{Pan, Pin, SecretBytes};
use payterm_vault::{KeyRules, SealingKey, Vault};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    sync::mpsc::channel,
};

/// Each byte of a needle stands here with its bits turned, so that the search does not find itself.
const MASK: u8 = 0xA5;

/// How often the bytes stand in writable memory.
fn found(needle: &[u8]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut mem = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    let mut bytes = Vec::new();
    for line in maps.lines().filter(|l| l.contains(" rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|h| u64::from_str_radix(h, 16).unwrap());
        bytes.clear();
        bytes.resize((to - from) as usize, 0);
        mem.seek(SeekFrom::Start(from)).unwrap();
        if mem.read_exact(&mut bytes).is_ok() {
            // The copy is turned too, or the next region would hold it in clear.
            bytes.iter_mut().for_each(|b| *b ^= MASK);
            count += bytes.windows(needle.len()).filter(|w| *w == needle).count();
        }
    }
    count
}
/// Digits, two a byte, turned.
fn needle(digits: &[u8]) -> Vec<u8> {
    digits.as_chunks::<2>().0.iter().map(|[a, b]| ((a - b'0') << 4 | (b - b'0')) ^ MASK).collect()
}

/// Far down the stack, where nothing that this thread does later writes over it.
#[inline(never)]
fn deep<R>(act: impl FnOnce() -> R) -> R {
    let pad = std::hint::black_box([0u8; 64 << 10]);
    let done = act();
    std::hint::black_box(&pad);
    done
}

#[test]
fn no_clear_pin_block_stays_on_the_stack() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), SealingKey::new(*b"0123456789abcdef0123456789ABCDEF")).unwrap();
    let tmk = primitives::DesKey::generate(16).unwrap();
    let bytes = |b: &[u8]| SecretBytes::new(b.to_vec());
    let one = primitives::DesKey::generate(16).unwrap();
    let two = primitives::DesKey::new(
        &tmk.reveal().iter().zip(one.reveal()).map(|(a, b)| a ^ b).collect::<Vec<_>>(),
    )
    .unwrap();
    vault
        .load_tmk_components(
            "a",
            &bytes(one.reveal()),
            &one.kcv(),
            &bytes(two.reveal()),
            &two.kcv(),
            &tmk.kcv(),
        )
        .unwrap();
    let key = || primitives::Key::from(primitives::DesKey::generate(16).unwrap());
    let keys = primitives::KeySet { pik: key(), mak: key(), tdk: None };
    vault
        .import_working_keys("a", &primitives::build_f62(&tmk, &keys).unwrap(), KeyRules::default())
        .unwrap();

    let (pin, pan) = (needle(b"735194862053"), needle(b"907183526480"));
    let mixed: Vec<u8> = pin.iter().skip(1).zip(&pan).map(|(a, b)| a ^ b ^ MASK).collect();
    let (done, is_done) = channel();
    let (end, ended) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let (pin, pan) = (Pin::parse("735194862053").unwrap(), Pan::parse("6212349071835264801").unwrap());
        let block = deep(|| vault.pin_block("a", &pin, &pan).unwrap());
        done.send(block).unwrap();
        ended.recv().ok();
    });
    let block = is_done.recv().unwrap();
    assert_eq!((found(&pin), found(&pan)), (0, 0), "clear PIN, PAN part");
    // Compiled without optimisation, the cipher's crate copies its block.
    assert!(cfg!(debug_assertions) || found(&mixed) == 0, "both mixed");
    let enciphered: Vec<u8> = block.reveal().iter().map(|b| b ^ MASK).collect();
    assert!(found(&enciphered) > 0, "the search finds what is there");
    end.send(()).unwrap();
    thread.join().unwrap();
}
