//! Texts that would do harm if any shell, SQL or YAML parser saw them as code.

use std::path::Path;

use serde_json::json;

use super::repository::{instant, session, told};
use super::{configuration, druid, local_backend};
use crate::support::System;

/// What each text would do if it were run: make this file.
const TOUCHED: &str = "/tmp/kubestash-injected";

#[test]
fn a_database_name_is_a_name_whatever_it_holds() {
    // The many texts are in the tests of the database crate; here two prove the way from the
    // manifest to the client.
    let system = System::start();
    let volume = tempfile::tempdir().unwrap();
    local_backend(&system, &volume.path().join("volume"));
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    let _ = std::fs::remove_file(TOUCHED);
    system.apply(&configuration(&json!({"databases": "druid"})));
    assert_eq!(instant(&system)["status"]["phase"], "Succeeded");
    for (index, databases) in [
        format!("a; touch {TOUCHED}"),
        format!("--result-file={TOUCHED}"),
        format!("$(touch {TOUCHED})"),
    ]
    .iter()
    .enumerate()
    {
        system.apply(&configuration(&json!({"databases": databases})));
        let ended = session(&system, &format!("injected-{index}"));
        assert_eq!(ended["status"]["phase"], "Failed", "{databases}");
        let text = told(&system, &ended);
        assert!(
            text.contains("touch") || text.contains("result-file"),
            "{text}"
        );
        assert!(!Path::new(TOUCHED).exists(), "{databases} was run");
    }
}
