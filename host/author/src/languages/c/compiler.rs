//! Which compiler makes WebAssembly of C and C++, and how it is called.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use super::super::zig;
use crate::{AuthorError, Language, tools};

/// The newest clang of Debian's that is asked for, and the oldest whose C++ knows what the SDK uses.
const CLANG_VERSIONS: std::ops::RangeInclusive<u32> = 16..=30;

/// How to get a compiler; the first is the quickest.
const INSTALL: &str = "install one of
  pip install ziglang                        (or Zig from https://ziglang.org/download, on PATH)
  the WASI SDK, https://github.com/WebAssembly/wasi-sdk, with WASI_SDK_PATH set to its folder
  apt-get install clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32
          and for C++ libc++-22-dev-wasm32 libc++abi-22-dev-wasm32   (Debian; any version from 16)";

/// A compiler for C and for C++, each a program with the arguments it always gets.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Compiler {
    c: Vec<OsString>,
    cpp: Vec<OsString>,
}

/// What there is on this machine, so that the choice can be tested.
trait Machine {
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<OsString>;
    /// A program on `PATH`.
    fn program(&self, name: &str) -> Option<PathBuf>;
    /// Whether a file is there.
    fn has(&self, file: &Path) -> bool;
    /// How Zig is called.
    fn zig(&self) -> Option<Vec<OsString>>;
}

struct ThisMachine<'a>(&'a Path);

impl Machine for ThisMachine<'_> {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        tools::find(name, &[])
    }

    fn has(&self, file: &Path) -> bool {
        file.exists()
    }

    fn zig(&self) -> Option<Vec<OsString>> {
        zig::find(self.0)
    }
}

impl Compiler {
    /// The compiler for a project: that of `$WASI_SDK_PATH`, else Zig's, else clang with wasi-libc.
    ///
    /// # Errors
    /// [`AuthorError::Missing`] with the ways to get one; [`AuthorError::Usage`] if `WASI_SDK_PATH` leads nowhere.
    pub(super) fn find(directory: &Path, language: Language) -> Result<Self, AuthorError> {
        choose(&ThisMachine(directory), language)
    }

    /// The command for a language, to which files and flags are added.
    pub(super) fn command(&self, language: Language) -> Command {
        let words = if language == Language::Cpp { &self.cpp } else { &self.c };
        let (program, arguments) = words.split_first().expect("every compiler below has a program");
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }
}

fn choose(machine: &impl Machine, language: Language) -> Result<Compiler, AuthorError> {
    if let Some(folder) = machine.variable("WASI_SDK_PATH") {
        return wasi_sdk(machine, Path::new(&folder));
    }
    if let Some(zig) = machine.zig() {
        return Ok(with_zig(&zig));
    }
    let clang = CLANG_VERSIONS.rev().find_map(|version| debian(machine, language, version));
    clang.ok_or_else(|| AuthorError::Missing {
        what: "a compiler from C to WebAssembly".to_owned(),
        language: language.name(),
        install: INSTALL.to_owned(),
    })
}

fn wasi_sdk(machine: &impl Machine, folder: &Path) -> Result<Compiler, AuthorError> {
    let clang = folder.join("bin/clang");
    if !machine.has(&clang) {
        let text = format!(
            "WASI_SDK_PATH is {}, but {} is not there; correct it, or unset it",
            folder.display(),
            clang.display()
        );
        return Err(AuthorError::Usage(text));
    }
    let flags = [OsString::from("--target=wasm32-wasip1"), joined("--sysroot=", &folder.join("share/wasi-sysroot"))];
    Ok(Compiler { c: words(&clang, &flags), cpp: words(&folder.join("bin/clang++"), &flags) })
}

fn with_zig(zig: &[OsString]) -> Compiler {
    let words = |mode: &str| {
        let arguments = [mode, "-target", "wasm32-wasi"].map(OsString::from);
        zig.iter().cloned().chain(arguments).collect()
    };
    Compiler { c: words("cc"), cpp: words("c++") }
}

/// Debian's clang of one version, if all that it needs is there.
fn debian(machine: &impl Machine, language: Language, version: u32) -> Option<Compiler> {
    let clang = machine.program(&format!("clang-{version}"))?;
    machine.program(&format!("wasm-ld-{version}"))?;
    let headers = PathBuf::from(format!("/usr/lib/llvm-{version}/include/wasm32-wasi/c++/v1"));
    let complete = machine.has(Path::new("/usr/include/wasm32-wasi/stdio.h"))
        && (language != Language::Cpp || machine.has(&headers));
    if !complete {
        return None;
    }
    // The headers of wasi-libc are in folders of the target's old name, which newer versions warn of.
    let flags = ["--target=wasm32-wasi", "--sysroot=/usr", "-Wno-deprecated"].map(OsString::from);
    let mut cpp_flags = flags.to_vec();
    // Debian puts libc++'s headers for wasm where clang does not look.
    cpp_flags.extend(["-nostdinc++", "-isystem"].map(OsString::from));
    cpp_flags.push(headers.into());
    let cpp = clang.with_file_name(format!("clang++-{version}"));
    Some(Compiler { c: words(&clang, &flags), cpp: words(&cpp, &cpp_flags) })
}

fn words(program: &Path, flags: &[OsString]) -> Vec<OsString> {
    [program.as_os_str().to_owned()].into_iter().chain(flags.iter().cloned()).collect()
}

fn joined(flag: &str, path: &Path) -> OsString {
    let mut word = OsString::from(flag);
    word.push(path);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake {
        wasi_sdk: Option<&'static str>,
        programs: Vec<&'static str>,
        files: Vec<&'static str>,
        zig: Option<Vec<OsString>>,
    }

    impl Machine for Fake {
        fn variable(&self, name: &str) -> Option<OsString> {
            self.wasi_sdk.filter(|_| name == "WASI_SDK_PATH").map(OsString::from)
        }

        fn program(&self, name: &str) -> Option<PathBuf> {
            self.programs.contains(&name).then(|| Path::new("/usr/bin").join(name))
        }

        fn has(&self, file: &Path) -> bool {
            self.files.iter().any(|known| Path::new(known) == file)
        }

        fn zig(&self) -> Option<Vec<OsString>> {
            self.zig.clone()
        }
    }

    const LIBC: &str = "/usr/include/wasm32-wasi/stdio.h";
    const LIBCPP: &str = "/usr/lib/llvm-19/include/wasm32-wasi/c++/v1";

    fn text(words: &[OsString]) -> String {
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_wasi_sdk_comes_first() {
        let mut machine = Fake { wasi_sdk: Some("/opt/wasi"), zig: Some(vec!["zig".into()]), ..Fake::default() };
        let error = choose(&machine, Language::C).unwrap_err().to_string();
        assert!(error.contains("WASI_SDK_PATH is /opt/wasi") && error.contains("/opt/wasi/bin/clang"), "{error}");
        machine.files.push("/opt/wasi/bin/clang");
        let compiler = choose(&machine, Language::C).unwrap();
        assert_eq!(
            text(&compiler.c),
            "/opt/wasi/bin/clang --target=wasm32-wasip1 --sysroot=/opt/wasi/share/wasi-sysroot"
        );
        assert!(text(&compiler.cpp).starts_with("/opt/wasi/bin/clang++ "));
    }

    #[test]
    fn zig_comes_before_clang() {
        let zig = Some(["python3", "-m", "ziglang"].map(OsString::from).to_vec());
        let machine = Fake { programs: vec!["clang-19", "wasm-ld-19"], files: vec![LIBC], zig, ..Fake::default() };
        let compiler = choose(&machine, Language::Cpp).unwrap();
        assert_eq!(text(&compiler.cpp), "python3 -m ziglang c++ -target wasm32-wasi");
    }

    #[test]
    fn clang_is_taken_when_all_of_it_is_there() {
        let mut machine =
            Fake { programs: vec!["clang-19", "clang-16", "wasm-ld-19"], files: vec![LIBC], ..Fake::default() };
        let compiler = choose(&machine, Language::C).unwrap();
        assert_eq!(text(&compiler.c), "/usr/bin/clang-19 --target=wasm32-wasi --sysroot=/usr -Wno-deprecated");
        assert!(choose(&machine, Language::Cpp).is_err(), "there is no C++ library");
        machine.files.push(LIBCPP);
        let compiler = choose(&machine, Language::Cpp).unwrap();
        assert!(text(&compiler.cpp).starts_with("/usr/bin/clang++-19 ") && text(&compiler.cpp).ends_with(LIBCPP));
        machine.programs.retain(|name| *name != "wasm-ld-19");
        assert!(choose(&machine, Language::C).is_err(), "there is no linker");
    }

    #[test]
    fn what_is_missing_is_said_with_how_to_get_it() {
        let error = choose(&Fake::default(), Language::Cpp).unwrap_err().to_string();
        for part in ["build cpp stages", "pip install ziglang", "WASI_SDK_PATH", "libc++-22-dev-wasm32"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
