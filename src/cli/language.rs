use clap::ValueEnum;

/// What components are written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Language {
    Rust,
    Ts,
    Js,
    Python,
    C,
}

impl Language {
    /// What its README says beside the common text.
    pub const fn particulars(self) -> &'static str {
        match self {
            Self::Rust => include_str!("templates/wasm/rust/README.md"),
            Self::Ts => include_str!("templates/wasm/ts/README.md"),
            Self::Js => include_str!("templates/wasm/js/README.md"),
            Self::Python => include_str!("templates/wasm/python/README.md"),
            Self::C => include_str!("templates/wasm/c/README.md"),
        }
    }

    /// Its files below the component's folder.
    pub const fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rust => &[
                ("Cargo.toml", include_str!("templates/wasm/rust/Cargo.toml")),
                ("src/lib.rs", include_str!("templates/wasm/rust/lib.rs")),
                ("src/tools.rs", include_str!("templates/wasm/rust/tools.rs")),
                ("build.sh", include_str!("templates/wasm/rust/build.sh")),
                ("test.sh", include_str!("templates/wasm/rust/test.sh")),
            ],
            Self::Ts => &[
                ("package.json", include_str!("templates/wasm/ts/package.json")),
                ("tsconfig.json", include_str!("templates/wasm/ts/tsconfig.json")),
                ("kitfox.d.ts", include_str!("templates/wasm/ts/kitfox.d.ts")),
                ("plugin.ts", include_str!("templates/wasm/ts/plugin.ts")),
                ("tools.ts", include_str!("templates/wasm/ts/tools.ts")),
                ("tools.test.ts", include_str!("templates/wasm/ts/tools.test.ts")),
                ("build.sh", include_str!("templates/wasm/ts/build.sh")),
                ("test.sh", include_str!("templates/wasm/ts/test.sh")),
            ],
            Self::Js => &[
                ("package.json", include_str!("templates/wasm/js/package.json")),
                ("plugin.js", include_str!("templates/wasm/js/plugin.js")),
                ("tools.js", include_str!("templates/wasm/js/tools.js")),
                ("tools.test.js", include_str!("templates/wasm/js/tools.test.js")),
                ("build.sh", include_str!("templates/wasm/js/build.sh")),
                ("test.sh", include_str!("templates/wasm/js/test.sh")),
            ],
            Self::Python => &[
                ("plugin.py", include_str!("templates/wasm/python/plugin.py")),
                ("tools.py", include_str!("templates/wasm/python/tools.py")),
                ("test_tools.py", include_str!("templates/wasm/python/test_tools.py")),
                ("build.sh", include_str!("templates/wasm/python/build.sh")),
                ("test.sh", include_str!("templates/wasm/python/test.sh")),
            ],
            Self::C => &[
                ("plugin.c", include_str!("templates/wasm/c/plugin.c")),
                ("test.c", include_str!("templates/wasm/c/test.c")),
                ("kitfox.h", include_str!("templates/wasm/c/kitfox.h")),
                ("json.c", include_str!("templates/wasm/c/json.c")),
                ("component.c", include_str!("templates/wasm/c/component.c")),
                ("build.sh", include_str!("templates/wasm/c/build.sh")),
                ("test.sh", include_str!("templates/wasm/c/test.sh")),
            ],
        }
    }
}

/// Of every component.
pub const COMMON_FILES: &[(&str, &str)] = &[
    ("README.md", include_str!("templates/wasm/README.md")),
    (".gitignore", "build/\nnode_modules/\ntarget/\n.venv/\n__pycache__/\n"),
    ("wit/kitfox.wit", include_str!("../../plugins/kitfox.wit")),
];
