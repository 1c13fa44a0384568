//! An empty data directory, made once and copied for each server: making one takes seconds, copying it none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::files::{self, make_dir, own, remove_dir};
use super::program::Program;
use crate::{ProviderConfig, ProviderError};

/// The template of the installed server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Template {
    config: ProviderConfig,
    made: Arc<OnceCell<(Program, PathBuf)>>,
}

impl Template {
    pub(crate) fn new(config: ProviderConfig) -> Self {
        Self {
            config,
            made: Arc::new(OnceCell::new()),
        }
    }

    /// The server program and its template, which is made if it is missing. A failure is not remembered: the program
    /// may be installed any time.
    pub(crate) async fn ready(&self) -> Result<(Program, PathBuf), ProviderError> {
        self.made.get_or_try_init(|| self.make()).await.cloned()
    }

    async fn make(&self) -> Result<(Program, PathBuf), ProviderError> {
        let program = Program::find(&self.config.search_path).await?;
        let parent = self.config.data_dir.join("databases");
        make_dir(&parent, 0o700)?;
        let template = parent.join(format!("template-{}", program.version));
        if !template.exists() {
            self.fill(&program, &parent, &template).await?;
        }
        Ok((program, template))
    }

    async fn fill(
        &self,
        program: &Program,
        parent: &Path,
        template: &Path,
    ) -> Result<(), ProviderError> {
        let begin = tokio::time::Instant::now();
        // The program sees `work` only; what it made is moved out of it when it is complete.
        let work = parent.join("template.partial");
        remove_dir(&work)?;
        make_dir(&work, 0o755)?;
        files::make_staging(&work)?;
        let data = work.join("data");
        make_dir(&data, 0o700)?;
        own(&data)?;
        let log = parent.join("template.log");
        let mut masked = self.config.masked_paths.clone();
        masked.push(self.config.data_dir.clone());
        program
            .initialise(
                &self.config.supervisor,
                &self.config.search_path,
                files::view(&work, &masked),
                &log,
            )
            .await?;
        std::fs::rename(&data, template).map_err(ProviderError::disk(template))?;
        tracing::debug!(version = program.version, after = ?begin.elapsed(), "made an empty data directory");
        remove_dir(&work)
    }
}
