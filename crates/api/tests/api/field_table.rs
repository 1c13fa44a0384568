//! The generated CRDs against the tables of the API that they have to be compatible with, row by
//! row, both ways.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::schema::{Schema, below, is, properties, text};

const FIELDS: &str = include_str!("../fixtures/crd-fields.tsv");
const PRINTER: &str = include_str!("../fixtures/crd-printer.tsv");

/// Where we differ on purpose: kind (`*`: all), ends of paths, the differing column, and why.
const DIFFERENCES: &[(&str, &[&str], &str, &str)] = &[
    (
        "*",
        &["spec"],
        "required",
        "an object without a spec says nothing, and typed readers rely on it",
    ),
    (
        "*",
        &["status.observedGeneration"],
        "row",
        "tells which generation a status is about",
    ),
    (
        "Snapshot",
        &["status.components{}.databases"],
        "row",
        "ours: which databases a dump holds",
    ),
    (
        "Snapshot",
        &[
            "resticStats[].hostPath",
            "resticStats[].id",
            "resticStats[].size",
            "resticStats[].uploaded",
        ],
        "row",
        "ours: both spellings of restic's result are accepted",
    ),
    (
        "Snapshot",
        &["status.conditions"],
        "flags",
        "operator and executor each own conditions of their own (list-type=map)",
    ),
    (
        "BackupSession",
        &["status.conditions"],
        "flags",
        "operator and executor each own conditions of their own (list-type=map)",
    ),
    (
        "RestoreSession",
        &["status.conditions"],
        "flags",
        "operator and executor each own conditions of their own (list-type=map)",
    ),
    (
        "*",
        &["dataReadSince"],
        "row",
        "ours: integrity says what was looked at and when",
    ),
    (
        "Snapshot",
        &[
            "components{}.damage",
            "damagedSnapshots",
            "damagedSnapshots[].id",
            "damagedSnapshots[].reason",
        ],
        "row",
        "ours: integrity says what was looked at and when",
    ),
    (
        "*",
        &[
            "components{}.leftOut",
            "components{}.warnings",
            "components{}.notes",
        ],
        "row",
        "ours: a backup says what is not in it, and a restore what is to be done now",
    ),
    (
        "*",
        &["scheduler.jobTemplate.template"],
        "default",
        "objects show the empty template when none is given",
    ),
    (
        "*",
        &["scheduler.concurrencyPolicy", "jobTemplate.completionMode"],
        "enum",
        "the original accepts it, and Kubernetes refuses the CronJob or Job made from it",
    ),
    (
        "*",
        &[
            "scheduler.failedJobsHistoryLimit",
            "scheduler.successfulJobsHistoryLimit",
            "scheduler.startingDeadlineSeconds",
            "jobTemplate.activeDeadlineSeconds",
            "jobTemplate.backoffLimit",
            "jobTemplate.completions",
            "jobTemplate.parallelism",
            "jobTemplate.ttlSecondsAfterFinished",
        ],
        "flags",
        "the original accepts it, and Kubernetes refuses the CronJob or Job made from it",
    ),
    (
        "*",
        &["sessionHistoryLimit", "maxConnections"],
        "flags",
        "less than none means nothing",
    ),
    (
        "*",
        &[
            "volumeMounts",
            "volumes",
            "variables",
            "env",
            "ports",
            "volumeDevices",
        ],
        "flags",
        "the list of a pod that a server-side apply merges by key, as in Kubernetes (list-type=map)",
    ),
];

/// One row of the table of fields; the column names are the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    columns: BTreeMap<&'static str, String>,
    external: bool,
}

#[test]
fn every_field_of_the_table_is_in_the_crds_and_every_field_of_the_crds_is_in_the_table() {
    assert!(
        DIFFERENCES.len() <= 15,
        "each reason to differ is agreed on"
    );
    let expected = expected_rows();
    let actual = actual_rows(&expected);
    let mut used = BTreeSet::new();
    let mut unexplained = Vec::new();
    for key in expected
        .keys()
        .chain(actual.keys())
        .collect::<BTreeSet<_>>()
    {
        for (column, what) in differences(expected.get(key), actual.get(key)) {
            match explanation(&key.0, &key.1, column) {
                Some(index) => drop(used.insert(index)),
                None => unexplained.push(format!("{} {}: {what}", key.0, key.1)),
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "{} unexplained differences:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    let unused: Vec<_> = explanations()
        .enumerate()
        .filter_map(|(index, explanation)| (!used.contains(&index)).then_some(explanation))
        .collect();
    assert!(
        unused.is_empty(),
        "these differences do not exist any more: {unused:?}"
    );
    assert_eq!(expected.len(), 1121, "the table was cut");
}

#[test]
fn names_scopes_and_printer_columns_are_those_of_the_table() {
    let mut expected: Vec<String> = PRINTER.lines().skip(1).map(str::to_owned).collect();
    let mut actual: Vec<String> = kubestash_api::crds()
        .iter()
        .flat_map(printer_rows)
        .collect();
    expected.sort();
    actual.sort();
    assert_eq!(actual, expected);
}

fn expected_rows() -> BTreeMap<(String, String), Row> {
    FIELDS
        .lines()
        .skip(1)
        .map(|line| {
            let cell: Vec<&str> = line.split('\t').collect();
            let flags = cell[10];
            let external = flags.contains("external") || flags.starts_with("podspec");
            let flags = flags
                .split("; ")
                .filter(|flag| !flag.starts_with("external") && !flag.starts_with("podspec"))
                .collect::<Vec<_>>()
                .join("; ");
            let columns = [
                ("group", cell[0].to_owned()),
                ("plural", cell[2].to_owned()),
                ("scope", cell[3].to_owned()),
                ("type", cell[5].to_owned()),
                ("format", cell[6].to_owned()),
                ("required", cell[7].to_owned()),
                ("enum", cell[8].to_owned()),
                ("default", cell[9].to_owned()),
                ("flags", flags),
            ];
            (
                (cell[1].to_owned(), cell[4].to_owned()),
                Row {
                    columns: columns.into(),
                    external,
                },
            )
        })
        .collect()
}

/// The rows of our CRDs, without the insides of what the table calls external.
fn actual_rows(expected: &BTreeMap<(String, String), Row>) -> BTreeMap<(String, String), Row> {
    let mut rows = BTreeMap::new();
    for crd in kubestash_api::crds() {
        let closed = |path: &str| {
            expected
                .get(&(crd.spec.names.kind.clone(), path.to_owned()))
                .is_some_and(|row| row.external)
        };
        collect(&crd, &crate::schema::root(&crd), "", &closed, &mut rows);
    }
    rows
}

fn collect(
    crd: &CustomResourceDefinition,
    parent: &Schema,
    prefix: &str,
    closed: &dyn Fn(&str) -> bool,
    rows: &mut BTreeMap<(String, String), Row>,
) {
    for (name, schema) in properties(parent) {
        let path = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}.{name}")
        };
        rows.insert(
            (crd.spec.names.kind.clone(), path.clone()),
            row(crd, parent, name, schema, closed(&path)),
        );
        if closed(&path) {
            continue;
        }
        collect(crd, schema, &path, closed, rows);
        if let Some(items) = below(schema, "items") {
            collect(crd, items, &format!("{path}[]"), closed, rows);
        }
        if let Some(values) = below(schema, "additionalProperties") {
            collect(crd, values, &format!("{path}{{}}"), closed, rows);
        }
    }
}

fn row(
    crd: &CustomResourceDefinition,
    parent: &Schema,
    name: &str,
    schema: &Schema,
    external: bool,
) -> Row {
    let required = parent
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|names| names.contains(&name.into()));
    let columns = [
        ("group", crd.spec.group.clone()),
        ("plural", crd.spec.names.plural.clone()),
        ("scope", crd.spec.scope.clone()),
        ("type", type_of(schema, external)),
        ("format", text(schema, "format").to_owned()),
        ("required", if required { "y" } else { "n" }.to_owned()),
        ("enum", words(schema.get("enum"))),
        (
            "default",
            schema.get("default").map(plain).unwrap_or_default(),
        ),
        ("flags", flags(schema)),
    ];
    Row {
        columns: columns.into(),
        external,
    }
}

fn type_of(schema: &Schema, external: bool) -> String {
    if is(schema, "x-kubernetes-int-or-string") {
        return "int-or-string".to_owned();
    }
    let type_ = text(schema, "type");
    let scalar =
        |below: &Schema| (text(below, "type") != "object").then(|| text(below, "type").to_owned());
    match (
        type_,
        below(schema, "items"),
        below(schema, "additionalProperties"),
    ) {
        ("array", Some(items), _) if !external => {
            scalar(items).map_or_else(|| type_.to_owned(), |item| format!("array<{item}>"))
        }
        ("object", _, Some(values)) if !external => {
            format!(
                "map<{}>",
                scalar(values).unwrap_or_else(|| "object".to_owned())
            )
        }
        _ => type_.to_owned(),
    }
}

fn flags(schema: &Schema) -> String {
    let mut flags = Vec::new();
    for (keyword, name) in [
        ("x-kubernetes-list-type", "list-type"),
        ("x-kubernetes-map-type", "map-type"),
    ] {
        if !text(schema, keyword).is_empty() {
            flags.push(format!("{name}={}", text(schema, keyword)));
        }
    }
    if let Some(minimum) = schema.get("minimum").and_then(Value::as_f64) {
        flags.push(format!("minimum={minimum}"));
    }
    for (keyword, name) in [
        (
            "x-kubernetes-preserve-unknown-fields",
            "preserve-unknown-fields",
        ),
        ("x-kubernetes-int-or-string", "int-or-string"),
    ] {
        if is(schema, keyword) {
            flags.push(name.to_owned());
        }
    }
    flags.join("; ")
}

fn words(values: Option<&Value>) -> String {
    values
        .and_then(Value::as_array)
        .map(|values| values.iter().map(plain).collect::<Vec<_>>().join("|"))
        .unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn differences(expected: Option<&Row>, actual: Option<&Row>) -> Vec<(&'static str, String)> {
    match (expected, actual) {
        (Some(_), None) => vec![("row", "missing".to_owned())],
        (None, Some(_)) => vec![("row", "not in the table".to_owned())],
        (Some(expected), Some(actual)) => expected
            .columns
            .iter()
            .filter(|(column, value)| actual.columns.get(*column) != Some(value))
            .map(|(column, value)| {
                (
                    *column,
                    format!("{column} is {:?}, not {value:?}", actual.columns[column]),
                )
            })
            .collect(),
        (None, None) => Vec::new(),
    }
}

/// The kinds, the end of a path and the column of each difference.
fn explanations() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let ends =
        |(kind, ends, column, _): &(&'static str, &'static [&'static str], &'static str, _)| {
            let (kind, column) = (*kind, *column);
            ends.iter().map(move |end| (kind, *end, column))
        };
    DIFFERENCES.iter().flat_map(ends)
}

fn explanation(kind: &str, path: &str, column: &str) -> Option<usize> {
    explanations().position(|(of_kind, end, of_column)| {
        (of_kind == "*" || of_kind == kind)
            && (path == end || path.ends_with(&format!(".{end}")))
            && of_column == column
    })
}

fn printer_rows(crd: &CustomResourceDefinition) -> Vec<String> {
    let names = &crd.spec.names;
    let version = &crd.spec.versions[0];
    let list = |names: &Option<Vec<String>>| {
        names
            .as_ref()
            .map_or_else(|| "-".to_owned(), |names| names.join(","))
    };
    let flag = |flag: bool| if flag { "y" } else { "n" };
    let columns = version
        .additional_printer_columns
        .iter()
        .flatten()
        .enumerate();
    columns
        .map(|(index, column)| {
            [
                names.kind.as_str(),
                &crd.spec.group,
                &version.name,
                &names.plural,
                names.singular.as_deref().unwrap_or("-"),
                &crd.spec.scope,
                &list(&names.short_names),
                &list(&names.categories),
                if version.subresources.is_some() {
                    "status"
                } else {
                    "-"
                },
                &(index + 1).to_string(),
                &column.name,
                &column.type_,
                column.format.as_deref().unwrap_or("-"),
                &column.json_path,
                &column.priority.unwrap_or_default().to_string(),
                flag(version.served),
                flag(version.storage),
            ]
            .join("\t")
        })
        .collect()
}
