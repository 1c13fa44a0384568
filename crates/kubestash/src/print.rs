//! What commands print: `crds` and `catalog` as YAML for `kubectl apply --server-side -f -`,
//! `version`, `completion`.

use std::io::Write;

use anyhow::Context;
use kube::api::DynamicObject;
use serde::Serialize;

/// Flags of `kubestash crds`.
#[derive(clap::Args)]
pub(crate) struct CrdArgs {
    /// Also print the definitions of KubeDB and AppBinding objects, for clusters without KubeDB
    #[arg(long)]
    foreign: bool,
}

/// Flags of `kubestash catalog`.
#[derive(clap::Args)]
pub(crate) struct CatalogArgs {
    /// Image of the Functions
    #[arg(long, default_value = crate::operator::IMAGE)]
    image: String,
}

/// Prints the definitions of our kinds.
pub(crate) fn crds(args: &CrdArgs) -> anyhow::Result<()> {
    let mut definitions = kubestash_api::crds();
    if args.foreign {
        definitions.extend(kubestash_api::foreign_crds());
    }
    documents(&definitions)
}

/// Prints the Addons and Functions.
pub(crate) fn catalog(args: &CatalogArgs) -> anyhow::Result<()> {
    documents(&catalog_objects(&args.image)?)
}

/// The Addons and Functions as objects of any kind, with `image` in the Functions.
pub(crate) fn catalog_objects(image: &str) -> anyhow::Result<Vec<DynamicObject>> {
    let functions = kubestash_domain::catalog::functions(image)
        .into_iter()
        .map(serde_json::to_value);
    let addons = kubestash_domain::catalog::addons()
        .into_iter()
        .map(serde_json::to_value);
    functions
        .chain(addons)
        .map(|object| {
            object
                .and_then(serde_json::from_value)
                .context("failed to write the catalog")
        })
        .collect()
}

/// Prints a script of a shell.
pub(crate) fn completion(
    shell: clap_complete::Shell,
    command: &mut clap::Command,
) -> anyhow::Result<()> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, command, name, &mut script);
    written(std::io::stdout().lock().write_all(&script))
}

/// Prints a line.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    written(writeln!(std::io::stdout().lock(), "{}", text.trim_end()))
}

fn written(result: std::io::Result<()>) -> anyhow::Result<()> {
    match result {
        // `kubestash completion bash | head` is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("failed to print"),
    }
}

fn documents<T: Serialize>(objects: &[T]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for object in objects {
        let yaml = serde_saphyr::to_string(object).context("failed to write YAML")?;
        match writeln!(out, "---\n{}", yaml.trim_end()) {
            // `kubestash crds | head` is no failure.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            result => result.context("failed to print")?,
        }
    }
    Ok(())
}
