use proptest::prelude::*;
use serde_json::json;

use super::*;

fn known(pairs: &[(&str, &str)]) -> Variables {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn every_documented_form_expands_as_documented() {
    let variables = known(&[
        ("v", "sample-druid"),
        ("empty", ""),
        ("path", "a/b/c.tar.gz"),
        ("u", "äöü"),
    ]);
    let cases = [
        ("plain", "plain"),
        ("${v}", "sample-druid"),
        ("${v}/${v}", "sample-druid/sample-druid"),
        ("x-${v:=other}", "x-sample-druid"),
        ("${none:=other}", "other"),
        ("${none:-other}", "other"),
        ("${none=other}", "other"),
        ("${none-other}", "other"),
        ("${none:=}", ""),
        ("${empty:=other}", ""),
        ("${none:=${v}}", "sample-druid"),
        ("${none:=${nope:=deep}}", "deep"),
        ("${none:=\"true\"}", "\"true\""),
        ("$${v}", "${v}"),
        ("$$", "$"),
        ("cost $5", "cost $5"),
        ("$(POD_NAME)", "$(POD_NAME)"),
        ("tail $", "tail $"),
        ("${v^}", "Sample-druid"),
        ("${v^^}", "SAMPLE-DRUID"),
        ("${v,,}", "sample-druid"),
        ("${v,}", "sample-druid"),
        ("${#v}", "12"),
        ("${#u}", "3"),
        ("${v#sample-}", "druid"),
        ("${v%-druid}", "sample"),
        ("${path#*/}", "b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "a/b/c.tar"),
        ("${path%%.*}", "a/b/c"),
        ("${v:7}", "druid"),
        ("${v:0:6}", "sample"),
        ("${u:1:1}", "ö"),
        ("${v/d/D}", "sample-Druid"),
        ("${v//d/D}", "sample-DruiD"),
        ("${path//\\//-}", "a/b/c.tar.gz"),
        ("C:\\temp\\\\x", "C:\\temp\\\\x"),
    ];
    for (text, expected) in cases {
        assert_eq!(expand(text, &variables).unwrap(), expected, "{text}");
    }
}

#[test]
fn all_missing_variables_of_a_document_are_named_at_once() {
    let mut document =
        json!({"a": "${one}", "b": ["${two}/${v}", {"c": "${three:=3}"}], "d": "${one}"});
    let error = expand_all(&mut document, &known(&[("v", "1")])).unwrap_err();
    assert_eq!(error.kind(), "VariableMissing");
    assert_eq!(
        error.to_string(),
        "failed to expand variables: no value for ${one}, ${two}"
    );
}

#[test]
fn wrong_forms_are_refused() {
    for bad in [
        "${",
        "${v",
        "${}",
        "${ v}",
        "${v?}",
        "${a.b}",
        "${v:x}",
        "${v//}",
        "${v@Q}",
        "${none:=${v}",
    ] {
        let error = expand(bad, &known(&[("v", "1"), ("a", "2")])).unwrap_err();
        assert_eq!(error.kind(), "VariableSyntax", "{bad}");
    }
}

#[test]
fn keys_numbers_and_the_shape_of_a_document_are_left_alone() {
    let mut document = json!({"${v}": 1, "b": true, "c": null, "d": {"e": "${v}"}});
    expand_all(&mut document, &known(&[("v", "x\": 1, \"y")])).unwrap();
    assert_eq!(
        document,
        json!({"${v}": 1, "b": true, "c": null, "d": {"e": "x\": 1, \"y"}})
    );
}

#[test]
fn the_variables_of_a_document_are_found_whatever_form_they_have() {
    let document = json!({"${key}": "${a}/${b:=x-${c}}", "list": ["$${d}", "${#e}", {"f": "${f^^} $g"}], "n": 1});
    let found: Vec<_> = names(&document).into_iter().collect();
    assert_eq!(found, ["a", "b", "c", "e", "f"]);
    assert!(names(&json!("${open")).is_empty());
}

proptest! {
    #[test]
    fn no_value_changes_the_shape_of_the_document(value in "\\PC*|[\"'{}\\[\\]:,\n\t$&*!|>%@`#-]{0,30}") {
        let mut document = json!({"scheduler": {"schedule": "${v}"}, "list": ["a-${v}", "b"]});
        expand_all(&mut document, &known(&[("v", &value)])).unwrap();
        prop_assert_eq!(document, json!({"scheduler": {"schedule": value.clone()}, "list": [format!("a-{value}"), "b"]}));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[${}:=a-z#%^,/*? 0-9]{0,40}") {
        let _ = expand(&text, &known(&[("a", "value"), ("b", "")]));
    }
}
