//! An empty data directory, made once and copied for each server: making one takes seconds, copying
//! it none.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubestash_node::supervisor::{Child, Exit, ProcessSpec};
use tokio::sync::Mutex;

use super::disk::{make_dir, own, remove_dir};
use super::{Engine, Program, files};
use crate::{KubedbConfig, KubedbError, identity};

/// The programs of a family, one for each kind of database, and their templates. Cheap to clone.
pub(crate) struct Template<E> {
    config: KubedbConfig,
    made: Arc<Mutex<HashMap<String, (Program, PathBuf)>>>,
    engine: PhantomData<fn() -> E>,
}

impl<E> Clone for Template<E> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            made: self.made.clone(),
            engine: PhantomData,
        }
    }
}

impl<E: Engine> Template<E> {
    pub(crate) fn new(config: KubedbConfig) -> Self {
        Self {
            config,
            made: Arc::default(),
            engine: PhantomData,
        }
    }

    /// The server program for databases of `kind` and its template, which is made if it is missing.
    /// A failure is not remembered: the program may be installed any time.
    pub(crate) async fn ready(&self, kind: &str) -> Result<(Program, PathBuf), KubedbError> {
        // Held while one is made: others wait for it, be it for the same template or not.
        let mut made = self.made.lock().await;
        if let Some(known) = made.get(kind) {
            return Ok(known.clone());
        }
        let program = E::find(kind, &self.config).await?;
        let parent = self.config.data_dir.join("databases");
        make_dir(&parent, 0o700)?;
        let product = program.product.to_ascii_lowercase();
        let template = parent.join(format!("template-{product}-{}", program.version));
        if !template.exists() {
            self.fill(&program, &parent, &template).await?;
        }
        made.insert(kind.to_owned(), (program.clone(), template.clone()));
        Ok((program, template))
    }

    async fn fill(
        &self,
        program: &Program,
        parent: &Path,
        template: &Path,
    ) -> Result<(), KubedbError> {
        let begin = tokio::time::Instant::now();
        // The program sees `work` only; what it made is moved out of it when it is complete.
        let work = parent.join(format!("template-{}.partial", program.product));
        remove_dir(&work)?;
        make_dir(&work, 0o755)?;
        files::make_staging(&work)?;
        let data = work.join("data");
        for dir in [&data, &work.join("tmp")] {
            make_dir(dir, 0o700)?;
            own(dir, E::USER)?;
        }
        self.initialise(program, &work, parent.join("template.log"))
            .await?;
        std::fs::rename(&data, template).map_err(KubedbError::disk(template))?;
        tracing::debug!(?program, after = ?begin.elapsed(), "created an empty data directory");
        remove_dir(&work)
    }

    async fn initialise(
        &self,
        program: &Program,
        work: &Path,
        log: PathBuf,
    ) -> Result<(), KubedbError> {
        let failed = |reason: String| KubedbError::Program {
            action: "create an empty data directory",
            reason,
            log: log.clone(),
        };
        let command = E::initialise(program, &self.config.search_path).map_err(failed)?;
        let mut masked = self.config.masked_paths.clone();
        masked.push(self.config.data_dir.clone());
        let spec = ProcessSpec {
            label: "database-template".to_owned(),
            program: command.program.display().to_string(),
            args: command.args,
            env: vec![("PATH".to_owned(), self.config.search_path.as_str().into())],
            working_dir: None,
            identity: identity::of_servers(E::USER),
            root: Some(files::view(work, &masked)),
            stdin: command.stdin,
            log: log.clone(),
            no_new_privileges: true,
        };
        let child = Child::spawn(&self.config.supervisor, spec)
            .map_err(|error| failed(error.to_string()))?;
        match child.wait().await {
            Exit::Code(0) => Ok(()),
            exit => Err(failed(exit.to_string())),
        }
    }
}
