//! Applying for a terminal, through the built binary.
use crate::common::*;

const DRAFT: &str = r#"name = "Corner shop"
legal_name = "Corner Shop Ltd"
licence = "91310000MA1"
address = "1 Renmin Road"
city = "Shanghai"
category = "5411"
contact = "Wang"
phone = "021-5555"
products = ["card"]
"#;

#[tokio::test]
async fn each_step_goes_to_the_terminal() {
    let w = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("draft.toml");
    std::fs::write(&file, DRAFT).unwrap();
    let d = w.run(&["apply", "draft", "--file", file.to_str().unwrap()]).await;
    assert_eq!(d.code, 0, "{}", d.err);
    let json = dir.path().join("draft.json");
    std::fs::write(
        &json,
        serde_json::to_string(&toml::from_str::<serde_json::Value>(DRAFT).unwrap()).unwrap(),
    )
    .unwrap();
    assert_eq!(w.run(&["apply", "draft", "--file", json.to_str().unwrap()]).await.code, 0);
    assert_eq!(w.run(&["apply", "accept", "abc"]).await.code, 0);
    assert!(w.fake.has_done("apply till Accept { hash: \"abc\" }"));
    let d = w.run(&["apply", "status", "--lang", "en"]).await;
    assert!(
        d.out.contains("nobody has applied") && d.out.contains("not the terminal management that is trusted"),
        "{}",
        d.out
    );
    let d = w.run(&["apply", "offer", "--lang", "en"]).await;
    assert!(
        d.out.contains("bank cards CUP: 0.60 %, at least CNY 0.01, at most CNY 80.00\n")
            && d.out.contains("payment codes: 0.38 %\n"),
        "{}",
        d.out
    );
    assert!(d.out.contains("T+1") && d.out.contains("words") && !d.out.contains('\u{1b}'), "{}", d.out);
    assert_eq!(w.run(&["apply", "offer", "--json"]).await.json()["fees"][0]["basis_points"], 60);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_both_languages() {
    let w = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("draft.toml");
    for (from, to, en, zh) in [
        ("\"5411\"", "\"54\"", "Merchant category code: 4 digits", "商户类别码:4 位数字"),
        ("Corner shop", "", "Shop name: 1 to 40", "商户简称"),
        ("[\"card\"]", "[]", "Products: card", "产品"),
    ] {
        std::fs::write(&file, DRAFT.replace(from, to)).unwrap();
        for (lang, text) in [("en", en), ("zh-CN", zh)] {
            let d = w.run(&["apply", "draft", "--file", file.to_str().unwrap(), "--lang", lang]).await;
            assert!(d.code == 2 && d.err.contains(text), "{}", d.err);
        }
    }
    for text in ["name = ", "shoop = 1", &format!("{DRAFT}more = 1\n"), &"#".repeat(9_000)] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(
            w.run(&["apply", "draft", "--file", file.to_str().unwrap(), "--json"]).await.json()["fault"],
            "Invalid"
        );
    }
    for (lang, text) in [("en", "not signed by the acquirer"), ("zh-CN", "没有收单机构的签名")] {
        let d = w.run(&["apply", "submit", "--lang", lang]).await;
        assert!(d.code == 3 && d.err.contains(text), "{}", d.err);
    }
}
