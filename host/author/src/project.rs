//! A project on disk: building its stages, and running their tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{AuthorError, Language, Manifest, Stage, inputs, languages, sdk};

/// The pipeline of a project, in which its stages are tried.
pub(crate) const PIPELINE: &str = "pipeline.toml";

/// A folder with a `forebay.toml`.
#[derive(Clone, Debug)]
pub struct Project {
    directory: PathBuf,
    manifest: Manifest,
}

/// A component that is there now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Built {
    /// The stage.
    pub stage: String,
    /// Where its component is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Whether it was built now; else it was up to date.
    pub anew: bool,
}

impl Project {
    /// Opens the project in a directory, and brings the SDK in it up to date with this binary.
    ///
    /// # Errors
    /// [`AuthorError`], for what the manifest says and for files that cannot be written.
    pub fn open(directory: &Path) -> Result<Self, AuthorError> {
        let manifest = Manifest::read(directory)?;
        let directory = fs::canonicalize(directory).map_err(|error| AuthorError::file("open", directory, error))?;
        sdk::unpack(&directory, &manifest)?;
        Ok(Self { directory, manifest })
    }

    /// Its directory, absolute.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What its manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its language.
    pub fn language(&self) -> Language {
        self.manifest.language
    }

    /// A stage by its name.
    ///
    /// # Errors
    /// [`AuthorError::Usage`], which names those there are.
    pub fn stage(&self, name: &str) -> Result<&Stage, AuthorError> {
        self.manifest.stages.get(name).ok_or_else(|| {
            let known: Vec<_> = self.manifest.stages.keys().map(String::as_str).collect();
            AuthorError::Usage(format!(
                "there is no stage `{name}` in {}; it has {}",
                crate::MANIFEST,
                known.join(", ")
            ))
        })
    }

    /// The author's file or directory of a stage, absolute; it may not be there.
    pub fn source(&self, stage: &Stage) -> PathBuf {
        match &stage.source {
            Some(source) => self.directory.join(source),
            None => self.directory.join(languages::default_source(self.language(), &stage.name)),
        }
    }

    /// Where the WIT of a stage is: a folder with its world `stage` and the package below `deps/`. Not for Rust.
    pub fn wit(&self, stage: &Stage) -> PathBuf {
        sdk::wit_folder(&self.directory, &stage.name)
    }

    /// Where a folder of the SDK is unpacked, as `python`.
    pub fn sdk(&self, folder: &str) -> PathBuf {
        sdk::sdk_folder(&self.directory, folder)
    }

    /// Where files that are made for a stage belong; it is made if it is not there.
    ///
    /// # Errors
    /// [`AuthorError::File`].
    pub fn generated(&self, stage: &Stage) -> Result<PathBuf, AuthorError> {
        let folder = sdk::gen_folder(&self.directory, &stage.name);
        fs::create_dir_all(&folder).map_err(|error| AuthorError::file("make", &folder, error))?;
        Ok(folder)
    }

    /// Where the pipeline is in which its stages are tried.
    pub fn pipeline(&self) -> PathBuf {
        self.directory.join(PIPELINE)
    }

    /// Where the component of a stage belongs.
    pub fn component(&self, stage: &Stage) -> PathBuf {
        self.directory.join("build").join(format!("{}.wasm", stage.name))
    }

    /// Whether the component of a stage is there and was built from the sources as they are.
    ///
    /// # Errors
    /// [`AuthorError::File`] if sources cannot be read.
    pub fn is_fresh(&self, stage: &Stage) -> Result<bool, AuthorError> {
        let component = self.component(stage);
        let Ok(noted) = fs::read_to_string(component.with_extension("inputs")) else { return Ok(false) };
        Ok(component.is_file() && noted == inputs::hash(&self.directory)?)
    }

    /// Builds a stage, unless its component is up to date. What compilers say goes to stderr.
    ///
    /// # Errors
    /// [`AuthorError`].
    pub fn build(&self, stage: &Stage) -> Result<Built, AuthorError> {
        let path = self.component(stage);
        let anew = !self.is_fresh(stage)?;
        if anew {
            self.check_source(stage)?;
            // Before the build: what is saved meanwhile makes it stale.
            let hash = inputs::hash(&self.directory)?;
            let component = languages::build(self, stage)?;
            let note = path.with_extension("inputs");
            let _ = fs::remove_file(&note);
            replace(&path, &component)?;
            fs::write(&note, hash).map_err(|error| AuthorError::file("write", &note, error))?;
        }
        let bytes = fs::metadata(&path).map_err(|error| AuthorError::file("read", &path, error))?.len();
        Ok(Built { stage: stage.name.clone(), path, bytes, anew })
    }

    /// Builds stages, several at once where the language's tools use one processor each. One result for each, in order.
    pub fn build_all(&self, stages: &[&Stage]) -> Vec<Result<Built, AuthorError>> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = if self.language().uses_one_processor() { processors } else { 1 };
        let mut built = Vec::new();
        for some in stages.chunks(at_once) {
            std::thread::scope(|scope| {
                let builds: Vec<_> = some.iter().map(|stage| scope.spawn(|| self.build(stage))).collect();
                let joined = builds.into_iter().map(|build| build.join());
                built.extend(joined.map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))));
            });
        }
        built
    }

    fn check_source(&self, stage: &Stage) -> Result<(), AuthorError> {
        let source = self.source(stage);
        if source.exists() {
            return Ok(());
        }
        let problem = format!(
            "is not there; it is the source of stage `{0}`: write it, or say `source` under [stages.{0}] in {1}",
            stage.name,
            crate::MANIFEST
        );
        Err(AuthorError::Source { source_file: source, problem })
    }

    /// Runs the project's own tests with the language's usual runner; its output goes where ours goes.
    ///
    /// # Errors
    /// [`AuthorError::Failed`] if a test fails, [`AuthorError::Missing`] without the runner.
    pub fn test(&self) -> Result<(), AuthorError> {
        languages::test(self)
    }

    /// A hash of everything its stages are built from, and of its manifest and pipeline; another one: something was saved.
    ///
    /// # Errors
    /// [`AuthorError::File`] if sources cannot be read.
    pub fn state(&self) -> Result<String, AuthorError> {
        let pipeline = fs::read(self.pipeline()).unwrap_or_default();
        Ok(inputs::hash(&self.directory)? + &inputs::hex(&pipeline))
    }
}

/// Puts a whole file in the place of another: who reads it gets the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), AuthorError> {
    let folder = path.parent().expect("a file in a project");
    fs::create_dir_all(folder).map_err(|error| AuthorError::file("make", folder, error))?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, bytes).map_err(|error| AuthorError::file("write", &part, error))?;
    fs::rename(&part, path).map_err(|error| AuthorError::file("write", path, error))
}
