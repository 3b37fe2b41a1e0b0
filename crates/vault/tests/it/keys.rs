//! Keys through the front door: loading, working keys, MAC, PIN block, track, restart, refusals, threads.
use payterm_primitives::{
    DesKey, KeySet, build_f62,
    f62::F62Error,
    tr31::{Header, Kbpk, KbpkAlgorithm, Tr31Error, wrap},
};
use payterm_schema::secret::{Mac, MacAlgorithm, MacError, MacValue, Pan, Pin, SecretBytes};
use payterm_vault::{KeyRules, KeysRefused, SealingKey, Vault, VaultError};
use std::{path::Path, sync::Arc};

fn x(h: &str) -> Vec<u8> {
    hex::decode(h).unwrap()
}
fn secret(h: &str) -> SecretBytes {
    SecretBytes::new(x(h))
}
fn open(dir: &Path) -> Arc<Vault> {
    Arc::new(Vault::open(dir, SealingKey::new(std::array::from_fn(|i| i as u8))).unwrap())
}

const TMK: &str = "CA5D92598DCA48CE8A4C76361A9269E9";
/// C1 XOR C2 = TMK; check values by psec 1.3.0 `des.encrypt_tdes_ecb(component, 8 zero bytes)`.
const C1: (&str, &str) = ("0102030405060708090A0B0C0D0E0F10", "AD17A756");
const C2: (&str, &str) = ("CB5F915D88CC4FC683467D3A179C66F9", "7DD60935");
const TMK_KCV: &str = "43C6CCCB";
/// Host-protocol §4 (public), and the 60-byte form by psec.
const F62_40: &str = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA";
const F62_60: &str = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B86378DAEF9206BFCAD7750B588D0BD926819DB1148F0\
    7C658AC49CC831240C055597B73EFFB097599";

fn load(v: &Vault, account: &str) {
    v.load_tmk_components(account, &secret(C1.0), &x(C1.1), &secret(C2.0), &x(C2.1), &x(TMK_KCV)).unwrap();
}
fn mac_input() -> Vec<u8> {
    x("0200302004C020C09811").into_iter().chain(0..=0x3B).collect()
}

#[test]
fn from_components_to_mac_pin_and_track_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    assert_eq!(v.tmk_check_value("visa"), None);
    load(&v, "visa");
    assert_eq!(v.tmk_check_value("visa"), Some([0x43, 0xC6, 0xCC]));
    assert!(!v.has_working_keys("visa"));
    v.import_working_keys("visa", &secret(F62_40), KeyRules::default()).unwrap();
    drop(v);

    let v = open(dir.path());
    assert!(v.has_working_keys("visa") && !v.has_working_keys("amex"));
    let mac = v.account_mac("visa");
    assert_eq!(mac.mac(MacAlgorithm::UnionpayEcb, &mac_input()), Ok(MacValue::new(b"E3D5BB2E")));
    assert_eq!(mac.verify(MacAlgorithm::UnionpayEcb, &mac_input(), b"E3D5BB2E"), Ok(true));
    for wrong in [&b"E3D5BB2F"[..], b"e3d5bb2e", b"E3D5BB2", b"", b"E3D5BB2EE3D5BB2E"] {
        assert_eq!(mac.verify(MacAlgorithm::UnionpayEcb, &mac_input(), wrong), Ok(false));
    }
    let (pin, pan) = (Pin::parse("1234").unwrap(), Pan::parse("6225881234567890").unwrap());
    assert_eq!(hex::encode(v.pin_block("visa", &pin, &pan).unwrap().reveal()), "e4c5071641926d0f"); // psec
    assert!(matches!(
        v.encipher_track("visa", "6225881234567890=25122010000012345"),
        Err(VaultError::NoKey { key: "TDK", .. })
    ));

    // The next sign-in is heard by a Mac that exists already.
    v.import_working_keys("visa", &secret(F62_60), KeyRules::default()).unwrap();
    assert_eq!(mac.verify(MacAlgorithm::UnionpayEcb, &mac_input(), b"E3D5BB2E"), Ok(false));
    assert_eq!(
        *v.encipher_track("visa", "6225881234567890=25122010000012345").unwrap(),
        "6225881234567890E64C1A8C4C8F1A8145"
    );

    v.clear_working_keys("visa").unwrap();
    assert_eq!(mac.mac(MacAlgorithm::UnionpayEcb, b"x"), Err(MacError::NoKey));
    assert!(matches!(v.pin_block("visa", &pin, &pan), Err(VaultError::NoKey { key: "PIK", .. })));
    drop((v, mac));
    let v = open(dir.path());
    assert!(!v.has_working_keys("visa"), "cleared on disk too");
    assert!(v.tmk_check_value("visa").is_some());
    v.erase_account("visa").unwrap();
    assert_eq!(open(dir.path()).tmk_check_value("visa"), None);
}

#[test]
fn refused_working_keys_take_the_old_ones_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    assert!(matches!(
        v.import_working_keys("visa", &secret(F62_40), KeyRules::default()),
        Err(KeysRefused::NoTmk(_))
    ));
    load(&v, "visa");
    load(&v, "amex");
    v.import_working_keys("amex", &secret(F62_40), KeyRules::default()).unwrap();
    for at in [0, 17, 20, 39] {
        v.import_working_keys("visa", &secret(F62_40), KeyRules::default()).unwrap();
        let mut bad = x(F62_40);
        bad[at] ^= 4;
        let name = if at < 20 { "PIK" } else { "MAK" };
        assert!(matches!(
            v.import_working_keys("visa", &SecretBytes::new(bad), KeyRules::default()),
            Err(KeysRefused::Form(F62Error::CheckValue(n))) if n == name
        ));
        assert!(!v.has_working_keys("visa"));
        assert!(!open(dir.path()).has_working_keys("visa"), "gone from disk");
    }
    for (len, text) in [(56, "56 bytes"), (84, "84 bytes"), (41, "41 bytes"), (0, "0 bytes")] {
        v.import_working_keys("visa", &secret(F62_40), KeyRules::default()).unwrap();
        let e =
            v.import_working_keys("visa", &SecretBytes::new(vec![0; len]), KeyRules::default()).unwrap_err();
        assert!(e.to_string().contains(text), "{e}");
        assert!(!v.has_working_keys("visa"));
    }
    assert!(v.has_working_keys("amex"), "another account is not touched");
}

#[test]
fn a_new_tmk_removes_the_working_keys_of_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    load(&v, "visa");
    v.import_working_keys("visa", &secret(F62_40), KeyRules::default()).unwrap();
    load(&v, "visa");
    assert!(!v.has_working_keys("visa"));
}

#[test]
fn components_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    let kcv = |h: &str| DesKey::new(&x(h)).unwrap().kcv();
    let try_load = |c1: &str, k1: &[u8], c2: &str, k2: &[u8], k: &[u8]| match v.load_tmk_components(
        "visa",
        &secret(c1),
        k1,
        &secret(c2),
        k2,
        k,
    ) {
        Ok(()) => "loaded".to_owned(),
        Err(e) => e.to_string(),
    };
    let (k1, k2, k) = (kcv(C1.0), kcv(C2.0), kcv(TMK));
    let zero = "00".repeat(16);
    assert_eq!(try_load(C1.0, &[0; 4], C2.0, &k2, &k), "component 1: the check value is wrong");
    assert_eq!(try_load(C1.0, &k1, C2.0, &k1, &k), "component 2: the check value is wrong");
    assert_eq!(try_load(C1.0, &k1, C2.0, &k2, &k2), "TMK: the check value is wrong");
    assert_eq!(try_load(C1.0, &k1[..2], C2.0, &k2, &k), "component 1: the check value must be 3 or 4 bytes");
    assert_eq!(try_load(C1.0, &k1, C2.0, &k2, &[]), "TMK: the check value must be 3 or 4 bytes");
    assert_eq!(try_load(&C1.0[..16], &k1, C2.0, &k2, &k), "component 1: must be 16 bytes");
    assert_eq!(try_load(C1.0, &k1, "", &k2, &k), "component 2: must be 16 bytes");
    assert_eq!(try_load(&zero, &kcv(&zero), C2.0, &k2, &k2), "component 1: must not be all zeros");
    assert_eq!(try_load(C1.0, &k1, &zero, &kcv(&zero), &k1), "component 2: must not be all zeros");
    assert_eq!(try_load(C1.0, &k1, C1.0, &k1, &kcv(&zero)), "components: must not be equal");
    // The halves of the key differ by parity bits only: C1 XOR this = 0123456789ABCDEE 0022446688AACCEF.
    let c2 = hex::encode(
        x(C1.0).iter().zip(x("0123456789ABCDEE0022446688AACCEF")).map(|(a, b)| a ^ b).collect::<Vec<_>>(),
    );
    assert_eq!(
        try_load(C1.0, &k1, &c2, &kcv(&c2), &kcv("0123456789ABCDEE0022446688AACCEF")),
        "TMK: must not have equal halves"
    );
    assert_eq!(v.tmk_check_value("visa"), None, "nothing of this was kept");
    assert!(matches!(
        v.load_tmk_components("Visa/..", &secret(C1.0), &k1, &secret(C2.0), &k2, &k),
        Err(VaultError::Account(_))
    ));
    assert_eq!(try_load(C1.0, &k1[..3], C2.0, &k2[..3], &k[..3]), "loaded");
}

const KBPK: &str = "88E1AB2A2E3DD38C1FA039A536500CC8";
/// Components of KBPK; AES check values by Python `cryptography` CMAC over 16 zero bytes.
fn load_kbpk(v: &Vault) {
    let (c1, c2) = (secret("0102030405060708090A0B0C0D0E0F10"), secret("89E3A82E2B3BD48416AA32A93B5E03D8"));
    v.load_kbpk_aes("visa", &c1, &x("0CDF5667"), &c2, &x("02EA3006"), &x("4E7037")).unwrap();
}

/// Blocks by psec 1.3.0 `tr31.wrap(KBPK, Header(version, usage, algorithm, mode, version number,
/// exportability), key)`.
#[test]
fn key_blocks_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    let good = "D0112K0TB00S00004CEB619E290DDF536923B488A275FD0280D7C46AD248071EB37B3B20CB456E9A62E4AC422\
        2442D6E5086BB367EED8BF2";
    assert!(matches!(v.load_tmk_block("visa", good), Err(VaultError::NoKey { .. })));
    load_kbpk(&v);
    for (block, text) in [
        (
            "D0112P0TD00N0000C379D5974CDFDE12B23B58480BAA7C9B416555D1403D3397BC0CFD217A31BE77818534728166\
             D4264B084E72FAE9D774",
            "usage is 'P0'",
        ),
        (
            "D0144K0AD00N00007C7A33D120BDF05D3A7858DBBFA942691F618C4A7ABA330B37D43E1CB829E7BD20FD79F46D61\
             3B3194E25BBC3BE0725A0D80DEA2F54BD45BAF2D957DB0BADB75",
            "algorithm is 'A'",
        ),
        (
            "D0112K0TE00N0000AC54D2CB41A32293E247B8D234FA9DC643E201233596EEB6CFEC60B3FB349ED73E1AE208937F\
             5024653798DD9C7D5313",
            "mode of use is 'E'",
        ),
        (
            "D0112K0TBc1N000062D241115BD2E41A12CA9EE26A34FEEBE0FF0A7D41E2F217E9378B59B6B0051B48A7CB6C2529\
             9255E0E7941BC3510496",
            "key version is 'c1'",
        ),
        (
            "D0112K0TB00N0000EC9332A56334238238D0646D404213CF3A8E354A4096DF318A6F48D316E1EB6837BCA3271C50\
             3BA8B48707859DCB75FA",
            "TMK: must not have equal halves",
        ),
        (
            "D0112K0TB00N00004A336C9CB8BB8F7B437F6F55CE6C2B81BB77075C0627AD1906037E73F1C118A400CEACCBC0A4\
             1E035765148AF5F8CAB9",
            "TMK: must be 16 bytes",
        ),
    ] {
        let e = v.load_tmk_block("visa", block).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    }
    let odd = wrap(
        &Kbpk::new(KbpkAlgorithm::Aes, &x(KBPK)).unwrap(),
        &Header {
            version: 'D',
            usage: "K0".into(),
            algorithm: 'T',
            mode: 'B',
            key_version: "00".into(),
            exportability: 'X',
        },
        &x(TMK),
    );
    assert!(
        v.load_tmk_block("visa", &odd.unwrap()).unwrap_err().to_string().contains("exportability is 'X'")
    );
    assert!(matches!(
        v.load_tmk_block("visa", &good.replace("4CEB", "4CEC")),
        Err(VaultError::KeyBlock(Tr31Error::Mac))
    ));
    assert_eq!(v.tmk_check_value("visa"), None);

    v.load_tmk_block("visa", good).unwrap();
    assert_eq!(v.tmk_check_value("visa"), Some([0x43, 0xC6, 0xCC]));
    drop(v);
    // The protection key survives a restart too; here version B under a TDES one in its place.
    let v = open(dir.path());
    v.load_tmk_block("visa", good).unwrap();
    let (kb, c1) = (x("89E88CF7931444F334BD7547FC3F380C"), x("101112131415161718191A1B1C1D1E1F"));
    let c2: Vec<u8> = kb.iter().zip(&c1).map(|(a, b)| a ^ b).collect();
    let kcv = |k: &[u8]| DesKey::new(k).unwrap().kcv();
    v.load_kbpk_tdes(
        "visa",
        &SecretBytes::new(c1.clone()),
        &kcv(&c1),
        &SecretBytes::new(c2.clone()),
        &kcv(&c2),
        &kcv(&kb),
    )
    .unwrap();
    assert!(matches!(v.load_tmk_block("visa", good), Err(VaultError::KeyBlock(Tr31Error::Algorithm('D')))));
    v.load_tmk_block(
        "visa",
        "B0096K0TD00N00006A2872C92D1C77CC0DB2636587B067B60DE3D32D5E90D5079EAACE612C65E2DEE2E9277159C44E9B",
    )
    .unwrap();
}

/// A change that cannot be written is not there: neither now nor after a restart; refused sign-ins stay
/// signed out.
#[test]
fn when_the_disk_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    load(&v, "visa");
    v.import_working_keys("visa", &secret(F62_40), KeyRules::default()).unwrap();
    // A directory in the place of the temporary file: neither removed nor opened, as root too.
    let block = dir.path().join("vault.sealed.new");
    std::fs::create_dir(&block).unwrap();
    let e = v.load_tmk_components("amex", &secret(C1.0), &x(C1.1), &secret(C2.0), &x(C2.1), &x(TMK_KCV));
    assert!(matches!(e, Err(VaultError::Io { .. })));
    assert_eq!(v.tmk_check_value("amex"), None);
    assert!(matches!(
        v.import_working_keys("visa", &secret(F62_60), KeyRules::default()),
        Err(KeysRefused::Store(VaultError::Io { .. }))
    ));
    assert!(!v.has_working_keys("visa"), "the host has other keys now: signed out");
    std::fs::remove_dir(&block).unwrap();
    v.import_working_keys("visa", &secret(F62_60), KeyRules::default()).unwrap();
    let mac_of = |v: &Arc<Vault>| v.account_mac("visa").mac(MacAlgorithm::UnionpayEcb, &mac_input());
    assert!(mac_of(&v).is_ok_and(|m| m != MacValue::new(b"E3D5BB2E")));
    assert_eq!(mac_of(&open(dir.path())), mac_of(&v));
}

/// F62 of the keys with these numbers.
fn f62(pik: u8, mak: u8) -> SecretBytes {
    let byte = |n: u8, i: u8| (n << 4 | i).rotate_left(u32::from(i > 7));
    let key = |n| DesKey::new(&std::array::from_fn::<u8, 16, _>(|i| byte(n, i as u8)));
    let keys = KeySet { pik: key(pik).unwrap().into(), mak: key(mak).unwrap().into(), tdk: None };
    build_f62(&DesKey::new(&x(TMK)).unwrap(), &keys).unwrap()
}

#[test]
fn keys_that_others_have_replaced_are_not_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    load(&v, "visa");
    let take = |v: &Vault, pik, mak| v.import_working_keys("visa", &f62(pik, mak), KeyRules::default());
    let replaced = |v: &Vault, pik, mak| matches!(take(v, pik, mak), Err(KeysRefused::Replaced));
    take(&v, 1, 2).unwrap();
    // Those in use, and those of a sign-in whose end is in doubt: the host says the same again.
    take(&v, 1, 2).unwrap();
    v.clear_working_keys("visa").unwrap();
    take(&open(dir.path()), 1, 2).unwrap();
    // One key stays, the other is new.
    take(&v, 1, 3).unwrap();
    take(&v, 4, 5).unwrap();
    for v in [&v, &open(dir.path())] {
        assert!(replaced(v, 1, 2));
        assert!(!v.has_working_keys("visa"));
        // Blocks of several sign-ins, each good in its day.
        assert!(replaced(v, 4, 2) && replaced(v, 6, 3) && replaced(v, 1, 6));
        take(v, 4, 5).unwrap();
    }
    assert!(
        v.import_working_keys("visa", &f62(1, 2), KeyRules { repeat: true, ..KeyRules::default() }).is_ok()
    );
    assert!(replaced(&v, 4, 5) && take(&v, 1, 2).is_ok());
    // The same TMK loaded again keeps its history, and another account has its own.
    load(&v, "visa");
    assert!(replaced(&v, 4, 5));
    load(&v, "amex");
    assert!(v.import_working_keys("amex", &f62(4, 5), KeyRules::default()).is_ok());
    v.erase_account("visa").unwrap();
    load(&v, "visa");
    take(&v, 4, 5).unwrap();
}

#[test]
fn a_single_mak_is_refused_where_the_acquirer_has_double_ones() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    load(&v, "visa");
    let double = KeyRules { double_mak: true, ..KeyRules::default() };
    v.import_working_keys("visa", &secret(F62_60), double).unwrap();
    assert!(matches!(v.import_working_keys("visa", &secret(F62_40), double), Err(KeysRefused::SingleMak)));
    assert!(!v.has_working_keys("visa"));
}

/// Sign-ins, MACs, PIN blocks and sealing at once: each result belongs to one whole key set, never a mixture.
#[test]
fn threads() {
    let dir = tempfile::tempdir().unwrap();
    let v = open(dir.path());
    load(&v, "visa");
    v.import_working_keys("visa", &secret(F62_40), KeyRules::default()).unwrap();
    let tmk = DesKey::new(&x(TMK)).unwrap();
    let expected = [F62_40, F62_60].map(|f| {
        payterm_primitives::mac(
            MacAlgorithm::UnionpayEcb,
            &payterm_primitives::parse_f62(&tmk, &x(f)).unwrap().mak,
            b"data",
        )
        .unwrap()
    });
    let (pin, pan) = (Pin::parse("1234").unwrap(), Pan::parse("6225881234567890").unwrap());
    let block = v.pin_block("visa", &pin, &pan).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            for f in [F62_40, F62_60].iter().cycle().take(40) {
                v.import_working_keys("visa", &secret(f), KeyRules { repeat: true, ..KeyRules::default() })
                    .unwrap();
            }
        });
        s.spawn(|| (0..20).for_each(|_| load(&v, "amex")));
        for _ in 0..3 {
            s.spawn(|| {
                let mac = v.account_mac("visa");
                for i in 0..300u32 {
                    assert!(expected.contains(&mac.mac(MacAlgorithm::UnionpayEcb, b"data").unwrap()));
                    assert!(v.pin_block("visa", &pin, &pan).unwrap() == block); // both sets have this PIK
                    let sealed = v.seal("pan", &i.to_be_bytes(), b"value").unwrap();
                    assert_eq!(v.unseal("pan", &i.to_be_bytes(), &sealed).unwrap().reveal(), b"value");
                }
            });
        }
    });
    let again = open(dir.path());
    assert_eq!(again.account_mac("visa").mac(MacAlgorithm::UnionpayEcb, b"data"), Ok(expected[1].clone()));
    assert!(again.tmk_check_value("amex").is_some());
}
