//! The sealing key file, the sealed file on disk, sealed values, and the canaries.
use payterm_primitives::{
    DesKey,
    tr31::{Kbpk, KbpkAlgorithm},
};
use payterm_schema::secret::{Mac, MacAlgorithm, MacValue, SecretBytes};
use payterm_vault::{KeyRules, SealingKey, SealingKeyError, Vault, VaultError};
use proptest::prelude::*;
use std::{
    fs,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

const KEY: [u8; 32] = {
    let mut k = [0; 32];
    let mut i = 0;
    while i < 32 {
        k[i] = 0x80 + i as u8;
        i += 1;
    }
    k
};

fn x(h: &str) -> Vec<u8> {
    hex::decode(h).unwrap()
}
fn open(dir: &Path) -> Result<Vault, VaultError> {
    Vault::open(dir, SealingKey::new(KEY))
}
fn file(dir: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// Written by Python `cryptography` 50 (HKDF, AESGCM, HMAC) after the layouts in file.rs, keys.rs and
/// vault.rs: later programs must read it.
#[test]
fn version_1_as_an_independent_program_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = x(concat!(
        "5041595445524d5600014a4285646c0ec7d700000070000102030405060708090a0b8756260ccca7578ed81cf11a6f98\
         d2d016a5ffe61a44c9d01019169f9e2a",
        "e6ddfd2d90a0c2d50d048e24fe5bd0267fbb41e1db428a18dba8bb73e116ba67346b1b867d83b03490199de10e0abb50\
         a9598b4eae68f5652c16f2282ab61f28",
        "1bd8611a22b2072f9b3ace133266ddd63b1ef8ddc339be6a5bc62f5a78929abf3f4d32623b21"
    ));
    fs::write(dir.path().join("vault.sealed"), bytes).unwrap();
    let v = Arc::new(open(dir.path()).unwrap());
    assert_eq!(v.tmk_check_value("visa"), Some([0x43, 0xC6, 0xCC]));
    let input: Vec<u8> = x("0200302004C020C09811").into_iter().chain(0..=0x3B).collect();
    assert_eq!(v.account_mac("visa").mac(MacAlgorithm::UnionpayEcb, &input), Ok(MacValue::new(b"E3D5BB2E")));
    assert!(v.encipher_track("visa", "62258812345678=251").is_ok());
    let sealed =
        x("01000102030405060708090a0bf2ed91472401ea9a60db3cafd466f82ef1d2d8289ad0997e37e60f272d89c965");
    assert_eq!(v.unseal("pan", b"tx 7", &sealed).unwrap().reveal(), b"6225881234567890");
    assert_eq!(
        hex::encode(v.keyed_hash("pan", b"6225881234567890")),
        "0bfd017b9ce7333d1a275f9107a1cf244c52df9da918a204c4183a0ccb1b7b77"
    );
    assert_ne!(v.keyed_hash("pan", b"1"), v.keyed_hash("code", b"1"));
}

#[test]
fn torn_changed_newer_and_wrong_key_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    load(&open(dir.path()).unwrap());
    let path = dir.path().join("vault.sealed");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(open(dir.path()), Err(VaultError::Damaged(_))), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        match open(dir.path()) {
            Err(VaultError::Damaged(_)) => assert_ne!(at, 8, "the version stands here"),
            Err(VaultError::Newer { found: 0x0101, known: 1 }) => assert_eq!(at, 8),
            other => panic!("byte {at}: {other:?}"),
        }
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    assert!(matches!(open(dir.path()), Err(VaultError::Damaged(_))));
    fs::write(&path, vec![0; (4 << 20) + 1]).unwrap();
    assert!(matches!(open(dir.path()), Err(VaultError::Damaged(_))));

    fs::write(&path, &whole).unwrap();
    let mut other = KEY;
    other[31] ^= 1;
    assert!(matches!(Vault::open(dir.path(), SealingKey::new(other)), Err(VaultError::WrongKey)));
    assert_eq!(fs::read(&path).unwrap(), whole, "a vault that does not open is not touched");
    assert!(open(dir.path()).unwrap().tmk_check_value("visa").is_some());
    assert!(matches!(open(&dir.path().join("absent")), Err(VaultError::Io { .. })));
}

#[test]
fn a_temporary_file_left_by_a_power_cut_is_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let outside = file(dir.path(), "outside", b"mine", 0o644);
    symlink(&outside, dir.path().join("vault.sealed.new")).unwrap();
    load(&open(dir.path()).unwrap());
    assert_eq!(fs::read(&outside).unwrap(), b"mine", "a planted link is not followed");
    file(dir.path(), "vault.sealed.new", b"torn", 0o666);
    load(&open(dir.path()).unwrap());
    assert_eq!(fs::metadata(dir.path().join("vault.sealed")).unwrap().mode() & 0o7777, 0o600);
    assert!(!dir.path().join("vault.sealed.new").exists());
}

#[test]
fn each_write_has_its_own_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path()).unwrap();
    let nonces: std::collections::BTreeSet<Vec<u8>> = (0..50)
        .map(|_| {
            load(&v);
            fs::read(dir.path().join("vault.sealed")).unwrap()[22..34].to_vec()
        })
        .collect();
    assert_eq!(nonces.len(), 50);
}

#[test]
fn sealing_key_files() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let read = |p: &Path| SealingKey::from_file(p);
    // Both forms hold the same key: a vault made with one opens with the other.
    let vault = tempfile::tempdir().unwrap();
    drop(open(vault.path()).unwrap());
    for content in
        [KEY.to_vec(), hex::encode(KEY).into_bytes(), format!("{}\n", hex::encode_upper(KEY)).into_bytes()]
    {
        let key = read(&file(d, "good", &content, 0o600)).unwrap();
        assert!(Vault::open(vault.path(), key).is_ok());
    }
    assert!(read(&file(d, "good", &KEY, 0o400)).is_ok());
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777] {
        let e = read(&file(d, "open", &KEY, mode)).unwrap_err();
        assert!(
            matches!(e, SealingKeyError::Mode { mode: m, .. } if m == mode)
                && e.to_string().contains(&format!("{mode:04o}")),
            "{e}"
        );
    }
    for bad in [
        &b""[..],
        &KEY[..31],
        &[KEY.as_slice(), &[1]].concat(),
        &[b'g'; 64],
        &[b'1'; 63],
        &[b'1'; 65],
        &[b'1'; 1000],
    ] {
        assert!(
            matches!(read(&file(d, "bad", bad, 0o600)), Err(SealingKeyError::Content { .. })),
            "{} bytes",
            bad.len()
        );
    }
    assert!(matches!(read(&file(d, "zeros", &[0; 32], 0o600)), Err(SealingKeyError::Constant(_))));
    symlink(d.join("good"), d.join("link")).unwrap();
    assert!(matches!(read(&d.join("link")), Err(SealingKeyError::Symlink(_))));
    assert!(matches!(read(d), Err(SealingKeyError::NotAFile(_))));
    assert!(matches!(read(&d.join("absent")), Err(SealingKeyError::Io { .. })));
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(d.join("fifo")).status().unwrap().success());
    assert!(matches!(read(&d.join("fifo")), Err(SealingKeyError::NotAFile(_))), "and does not hang");
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var("PAYTERM_MUST").as_deref() != Ok("mounts"), "not root");
    if root {
        let theirs = file(d, "theirs", &KEY, 0o600);
        chown(&theirs, Some(65534), None).unwrap();
        assert!(matches!(read(&theirs), Err(SealingKeyError::Owner { owner: 65534, us: 0, .. })));
    }
}

#[test]
fn a_made_key_file_is_private_fresh_and_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let key = SealingKey::create_file(&a).unwrap();
    SealingKey::create_file(&b).unwrap();
    assert_eq!(fs::metadata(&a).unwrap().mode() & 0o7777, 0o600);
    assert_ne!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
    let before = fs::read(&a).unwrap();
    assert!(matches!(SealingKey::create_file(&a), Err(SealingKeyError::Io { what: "create", .. })));
    assert_eq!(fs::read(&a).unwrap(), before);
    drop(Vault::open(dir.path(), key).unwrap());
    assert!(
        Vault::open(dir.path(), SealingKey::from_file(&a).unwrap()).is_ok(),
        "the key made is the key in the file"
    );
    assert!(matches!(Vault::open(dir.path(), SealingKey::from_file(&b).unwrap()), Err(VaultError::WrongKey)));
}

/// The environment is read in a process of its own: this test runs itself again.
#[test]
fn credentials() {
    if let Ok(name) = std::env::var("VAULT_TEST_CREDENTIAL") {
        match SealingKey::from_credentials(&name) {
            Ok(_) => println!("VERDICT ok"),
            Err(e) => println!("VERDICT {e}"),
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "key", &KEY, 0o440); // as systemd shows a credential with an ACL for the service's user
    file(dir.path(), "group-writes", &KEY, 0o460);
    file(dir.path(), "others-read", &KEY, 0o404);
    let run = |name: &str, credentials: Option<&Path>| {
        let mut c = Command::new(std::env::current_exe().unwrap());
        c.args(["--exact", "sealed::credentials", "--nocapture"])
            .env("VAULT_TEST_CREDENTIAL", name)
            .env_remove("CREDENTIALS_DIRECTORY");
        credentials.map(|d| c.env("CREDENTIALS_DIRECTORY", d));
        let out = String::from_utf8(c.output().unwrap().stdout).unwrap();
        out.split_once("VERDICT ").unwrap().1.lines().next().unwrap().to_owned()
    };
    assert_eq!(run("key", Some(dir.path())), "ok");
    assert!(run("group-writes", Some(dir.path())).contains("mode 0460"));
    assert!(run("others-read", Some(dir.path())).contains("mode 0404"));
    assert!(run("../key", Some(dir.path())).contains("plain file name"));
    assert!(run("key", None).contains("CREDENTIALS_DIRECTORY is not set"));
    assert!(run("absent", Some(dir.path())).contains("open failed"));
}

const TMK: &str = "CA5D92598DCA48CE8A4C76361A9269E9";
const C1: &str = "0102030405060708090A0B0C0D0E0F10";
const F62: &str = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B86378DAEF9206BFCAD7750B588D0BD926819DB1148F07C6\
    58AC49CC831240C055597B73EFFB097599";
const WORKING: [&str; 3] = [
    "807A23AD32B36D457AE91FDF927570EA",
    "0F1E2D3C4B5A69788796A5B4C3D2E1F0",
    "00112233445566778899AABBCCDDEEFF",
];
const KBPK: &str = "89E88CF7931444F334BD7547FC3F380C";

fn components(key: &str) -> (SecretBytes, [u8; 4], SecretBytes, [u8; 4], [u8; 4]) {
    let c2: Vec<u8> = x(key).iter().zip(x(C1)).map(|(a, b)| a ^ b).collect();
    let kcv = |k: &[u8]| DesKey::new(k).unwrap().kcv();
    (SecretBytes::new(x(C1)), kcv(&x(C1)), SecretBytes::new(c2.clone()), kcv(&c2), kcv(&x(key)))
}
fn load(v: &Vault) {
    let (c1, k1, c2, k2, k) = components(TMK);
    v.load_tmk_components("visa", &c1, &k1, &c2, &k2, &k).unwrap();
    v.import_working_keys("visa", &SecretBytes::new(x(F62)), KeyRules::default()).unwrap();
}

/// No 8 bytes in a row of any key in `text`: raw, as hex digits of either case with or without separators, or
/// as a list of decimal numbers.
fn found(text: &[u8], secrets: &[Vec<u8>]) -> bool {
    let contains = |text: &[u8], needle: &[u8]| text.windows(needle.len()).any(|w| w == needle);
    let joined = String::from_utf8_lossy(text)
        .to_ascii_lowercase()
        .replace("0x", "")
        .replace(|c: char| !c.is_ascii_alphanumeric(), "");
    secrets.iter().flat_map(|s| s.windows(8)).any(|part| {
        let decimal: String = part.iter().map(u8::to_string).collect();
        contains(text, part)
            || contains(joined.as_bytes(), hex::encode(part).as_bytes())
            || contains(joined.as_bytes(), decimal.as_bytes())
    })
}

#[test]
fn canaries() {
    let dir = tempfile::tempdir().unwrap();
    let v = Arc::new(open(dir.path()).unwrap());
    load(&v);
    let (c1, k1, c2, k2, k) = components(KBPK);
    v.load_kbpk_tdes("visa", &c1, &k1, &c2, &k2, &k).unwrap();
    let c2_of_tmk = components(TMK).2.reveal().to_vec();
    let secrets: Vec<Vec<u8>> = [TMK, C1, KBPK]
        .iter()
        .chain(&WORKING)
        .map(|h| x(h))
        .chain([KEY.to_vec(), c2_of_tmk, c2.reveal().to_vec(), b"1234567890123456".to_vec()])
        .collect();
    // The search finds what it must find.
    let w = x(WORKING[0]);
    let texts = [
        hex::encode(&w),
        hex::encode_upper(&w),
        format!("{w:?}"),
        format!("{w:#?}"),
        format!("{w:02X?}"),
        format!("{w:#04x?}"),
    ];
    for shown in texts.into_iter().map(String::into_bytes).chain([w.clone()]) {
        assert!(found(&[b"xx".as_slice(), &shown, b"yy"].concat(), &secrets));
    }

    let sealed = v.seal("pan", b"", b"1234567890123456").unwrap();
    assert!(!found(&sealed, &secrets));
    let entries: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(entries.len(), 1);
    for path in entries {
        assert!(!found(&fs::read(&path).unwrap(), &secrets), "{path:?}");
    }

    let mut said =
        vec![format!("{v:?} {v:#?} {:?}", v.account_mac("visa")), format!("{:?}", SealingKey::new(KEY))];
    let key = DesKey::new(&x(WORKING[0])).unwrap();
    let set = payterm_primitives::parse_f62(&DesKey::new(&x(TMK)).unwrap(), &x(F62)).unwrap();
    said.push(format!(
        "{key:?} {set:?} {set:#?} {:?} {c1:?}",
        Kbpk::new(KbpkAlgorithm::Tdes, &x(KBPK)).unwrap()
    ));
    let mut errors: Vec<Box<dyn std::error::Error>> = vec![];
    let mut bad = x(F62);
    bad[1] ^= 1;
    errors.push(v.load_tmk_components("visa", &c1, &k1, &c2, &k2, &[0; 4]).unwrap_err().into());
    errors.push(v.load_tmk_components("visa", &c1, &k1, &c1, &k1, &[0; 4]).unwrap_err().into());
    errors
        .push(v.import_working_keys("visa", &SecretBytes::new(bad), KeyRules::default()).unwrap_err().into());
    errors.push(
        v.import_working_keys("visa", &SecretBytes::new(x(&F62[..50])), KeyRules::default())
            .unwrap_err()
            .into(),
    );
    errors.push(
        v.load_tmk_block("visa", &format!("B0096K0TD00N0000{}{TMK}{}", WORKING[0], WORKING[1]))
            .unwrap_err()
            .into(),
    );
    errors.push(v.load_tmk_block("visa", TMK).unwrap_err().into());
    errors.push(v.encipher_track("visa", "1234567890123456=").unwrap_err().into());
    errors.push(v.unseal("pan", b"x", &sealed).unwrap_err().into());
    errors.push(DesKey::new(&KEY[..31]).unwrap_err().into());
    errors.push(
        SealingKey::from_file(&file(dir.path(), "key", hex::encode(&KEY[..31]).as_bytes(), 0o600))
            .unwrap_err()
            .into(),
    );
    said.extend(errors.iter().map(|e| format!("{e} {e:?}")));
    for text in said {
        assert!(!found(text.as_bytes(), &secrets), "{text}");
    }
}

/// A file made between two processes' umasks: the mode comes from us, whatever the umask lets through.
#[test]
fn an_existing_file_of_wide_mode_is_replaced_by_a_private_one() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path()).unwrap();
    let path = dir.path().join("vault.sealed");
    let wide = fs::OpenOptions::new().write(true).mode(0o666).open(&path).unwrap();
    wide.set_permissions(fs::Permissions::from_mode(0o666)).unwrap();
    load(&v);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
}

proptest! {
    #[test]
    fn sealed_values_come_back_and_every_change_is_seen(
        plain in prop::collection::vec(any::<u8>(), 0..80),
        context in prop::collection::vec(any::<u8>(), 0..20),
        purpose in "[a-z]{1,8}",
        at: prop::sample::Index, bit in 0..8u8, cut: prop::sample::Index,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let v = open(dir.path()).unwrap();
        let sealed = v.seal(&purpose, &context, &plain).unwrap();
        prop_assert_eq!(sealed.len(), plain.len() + 29);
        let opened = v.unseal(&purpose, &context, &sealed).unwrap();
        prop_assert_eq!(opened.reveal(), &plain);
        let refused = |p: &str, c: &[u8], s: &[u8]| matches!(v.unseal(p, c, s), Err(VaultError::Unseal));
        let mut changed = sealed.clone();
        changed[at.index(sealed.len())] ^= 1 << bit;
        prop_assert!(refused(&purpose, &context, &changed));
        prop_assert!(refused(&purpose, &context, &sealed[..cut.index(sealed.len())]));
        let other = format!("{purpose}x");
        prop_assert!(refused(&other, &context, &sealed));
        prop_assert!(refused(&purpose, &[&context[..], b"x"].concat(), &sealed));
        if let Some((first, rest)) = context.split_first() {
            // Purpose and context do not run into each other.
            if first.is_ascii() {
                let longer = format!("{purpose}{}", char::from(*first));
                prop_assert!(refused(&longer, rest, &sealed));
            }
        }
        prop_assert_ne!(v.seal(&purpose, &context, &plain).unwrap(), sealed);
    }
}
