//! A restore of manifests, from the bytes in the repository to the report.

use kubestash_api::core::RestoreSession;
use kubestash_domain::manifest::{self, Document, Rewrite, place};
use kubestash_engine::CancellationToken;

use super::{make, preflight};
use crate::arguments::ManifestRestore;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::restore as data;
use crate::settings::Settings;

/// Most bytes of a document.
const MOST: u64 = 64 << 20;

/// Restores manifests and reports.
///
/// # Errors
/// The failure, which is already reported.
pub(crate) async fn restore(
    cluster: &Cluster,
    settings: &Settings,
    restore: &ManifestRestore,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let session = (&restore.session, manifest::COMPONENT);
    data::reported(cluster, session, async |session| {
        let before = async {
            data::unedited(session)?;
            Box::pin(before(cluster, settings, restore, session, cancel)).await
        };
        let (size, wanted) = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(preflight::untouched(data::stopped())),
            result = before => result.map_err(preflight::untouched)?,
        };
        let made = make::make(cluster, &wanted).await?;
        Ok(data::Restored {
            bytes: size,
            notes: Vec::new(),
            said: Some(made),
        })
    })
    .await
}

/// Everything that can be done without making anything.
async fn before(
    cluster: &Cluster,
    settings: &Settings,
    restore: &ManifestRestore,
    session: &RestoreSession,
    cancel: &CancellationToken,
) -> Result<(u64, Vec<preflight::Wanted>), Failure> {
    let (store, part, _) = data::stored(
        cluster,
        settings,
        &restore.snapshot,
        manifest::COMPONENT,
        session,
    )
    .await?;
    let bytes = data::read(&store, &part, MOST, cancel).await?;
    let document = Document::parse(&bytes)?;
    let inventory = document.inventory()?;
    let nothing = Default::default();
    let options = session.spec.manifest_options.as_deref();
    let options = options.unwrap_or(&nothing);
    let placements = place(&inventory, options);
    let by = Rewrite {
        placements: &placements,
        options,
        data_follows: !restore.last_task,
    };
    let wanted = preflight::preflight(cluster, &document, &by, restore.override_resources).await?;
    Ok((bytes.len() as u64, wanted))
}
