use crate::{
    load_error::LoadError,
    plugin::{
        Permissions, PluginFiles,
        toml_file::{TomlFile, entries},
    },
    user::Allow,
};

/// What a plugin says of itself, in its plugin.toml or in `plugin(#{…})`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declaration {
    /// None: the file's or the folder's.
    pub name: Option<String>,
    pub version: Option<String>,
    pub description: Option<String>,
    /// The API it was written for, as `0.1`.
    pub kitfox: Option<String>,
    pub permissions: Permissions,
    /// Who may have its tools called.
    pub allow: Allow,
}

const KEYS: &[&str] = &["name", "version", "description", "kitfox", "permissions", "allow"];

/// What this Kitfox offers.
const API: (u64, u64) = (0, 1);

impl Declaration {
    /// Parses a pack's plugin.toml; `file` is its path in the project.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let (mut reader, table) = TomlFile::parse(file, text)?;
        let mut declaration = Self::default();
        for entry in entries(&table) {
            match entry.0 {
                "name" => declaration.name = reader.text(&entry),
                "version" => declaration.version = reader.text(&entry),
                "description" => declaration.description = reader.text(&entry),
                "kitfox" => declaration.kitfox = reader.text(&entry),
                "permissions" => declaration.permissions = reader.permissions(&entry),
                "allow" => declaration.allow = reader.allow(&entry),
                unknown => reader.refuse_key(entry.1, unknown, KEYS),
            }
            let checked = match (entry.0, entry.2.as_str()) {
                ("name", Some(name)) => check_name(name),
                ("kitfox", Some(version)) => check_api(version),
                _ => Ok(()),
            };
            if let Err(Wrong { message, remedy }) = checked {
                reader.refuse(entry.3, message, Some(remedy));
            }
        }
        reader.finish()?;
        Ok(declaration)
    }
}

impl Declaration {
    /// What a pack says of itself in its plugin.toml, where it has one.
    pub fn of_pack(files: &PluginFiles) -> Result<Self, Vec<LoadError>> {
        let Some(bytes) = files.files.get("plugin.toml") else { return Ok(Self::default()) };
        let file = format!("{}/plugin.toml", files.path);
        let text = std::str::from_utf8(bytes)
            .map_err(|_| vec![LoadError::new(&file, "this is not UTF-8")])?;
        Self::parse(&file, text)
    }
}

/// What is wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}: {remedy}")]
pub struct Wrong {
    pub message: String,
    pub remedy: String,
}

/// A plugin's name stands in addresses, in kitfox.toml and before its tools.
pub fn check_name(name: &str) -> Result<(), Wrong> {
    let first = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let is_valid = name.len() <= 63
        && name.bytes().next().is_some_and(first)
        && name.bytes().all(|it| first(it) || it == b'_' || it == b'-');
    if is_valid {
        return Ok(());
    }
    Err(Wrong {
        message: format!("`{name}` cannot be a plugin's name"),
        remedy: "a name has 1 to 63 of the characters a-z, 0-9, `_` and `-`, and begins with a \
                 letter or digit"
            .to_owned(),
    })
}

/// Whether what was written for the API `written` runs on this Kitfox: before 1.0 each minor version is an API of
/// its own, from then on the later ones run what was written for the earlier.
pub fn check_api(written: &str) -> Result<(), Wrong> {
    let (major, minor) = API;
    let ours = format!("{major}.{minor}");
    let Some((written_major, written_minor)) = parse_api(written) else {
        return Err(Wrong {
            message: format!("`kitfox` is `{written}`, which is no version"),
            remedy: format!("write the version the plugin was written for: `kitfox = \"{ours}\"`"),
        });
    };
    let runs = written_major == major
        && if major == 0 { written_minor == minor } else { written_minor <= minor };
    if runs {
        return Ok(());
    }
    let remedy = if (written_major, written_minor) > API {
        format!("update Kitfox, or take a version of the plugin for {ours}")
    } else {
        format!("take a version of the plugin for {ours}, or try it with `kitfox = \"{ours}\"`")
    };
    Err(Wrong {
        message: format!("it was written for Kitfox {written}, and this is {ours}"),
        remedy,
    })
}

/// `0.1`, `0.1.4`
fn parse_api(text: &str) -> Option<(u64, u64)> {
    let mut numbers = Vec::new();
    for part in text.split('.') {
        if !part.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        numbers.push(part.parse().ok()?);
    }
    match numbers[..] {
        [major, minor] | [major, minor, _] => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn errors(text: &str) -> String {
        let errors = Declaration::parse("plugins/cats/plugin.toml", text).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_pack_says_who_it_is_and_what_it_needs() {
        let text = r#"
            name = "cat-lounge"
            version = "1.2.0"
            description = "A cat to look after."
            kitfox = "0.1"
            [permissions]
            http = ["api.thecatapi.com", "*.example.org"]
            env = []
            model = true
            tools = ["notes__*"]
        "#;
        let declaration = Declaration::parse("plugin.toml", text).unwrap();
        assert_eq!(declaration.name.as_deref(), Some("cat-lounge"));
        assert_eq!(declaration.version.as_deref(), Some("1.2.0"));
        assert_eq!(declaration.description.as_deref(), Some("A cat to look after."));
        assert_snapshot!(toml::to_string(&declaration.permissions).unwrap(), @r#"
        http = ["api.thecatapi.com", "*.example.org"]
        model = true
        tools = ["notes__*"]
        "#);
        assert_eq!(Declaration::parse("plugin.toml", "").unwrap(), Declaration::default());
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = "nam = 'cats'\nname = 'Cats'\nversion = 1\nkitfox = '0.2'\n\
                    [permissions]\nhtpp = []\nhttp = [\n  'a.test',\n  'ftp://b.test',\n  3,\n]\nmodel = 'yes'\n\
                    env = 'HOME'\n[settings]\n";
        assert_snapshot!(errors(text), @"
        plugins/cats/plugin.toml:1:1: unknown key `nam` (did you mean `name`?)
        plugins/cats/plugin.toml:2:8: `Cats` cannot be a plugin's name (a name has 1 to 63 of the characters a-z, 0-9, `_` and `-`, and begins with a letter or digit)
        plugins/cats/plugin.toml:3:11: `version` must be a string, not an integer
        plugins/cats/plugin.toml:4:10: it was written for Kitfox 0.2, and this is 0.1 (update Kitfox, or take a version of the plugin for 0.1)
        plugins/cats/plugin.toml:6:1: unknown key `htpp` (did you mean `http`?)
        plugins/cats/plugin.toml:9:3: `permissions.http`: `ftp://b.test` names the scheme `ftp`: only https and http can be fetched
        plugins/cats/plugin.toml:10:3: `http` must be a list of strings, not an integer
        plugins/cats/plugin.toml:12:9: `model` must be `true` or `false`, not a string
        plugins/cats/plugin.toml:13:7: `env` must be a list of strings, not a string
        plugins/cats/plugin.toml:14:2: unknown key `settings` (known here: `name`, `version`, `description`, `kitfox`, `permissions`, `allow`)
        ");
        assert_snapshot!(errors("name = 'cats\nversion = '1'"), @"plugins/cats/plugin.toml:1:13: invalid literal string, expected `'`");
        assert_snapshot!(errors("permissions = true"), @"plugins/cats/plugin.toml:1:15: `permissions` must be a table, not a boolean");
    }

    #[test]
    fn names_are_short_and_plain() {
        for name in ["weather", "a", "3d", "cat-lounge_2", &"a".repeat(63)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "_a", "Cats", "a b", "a/b", "..", "é", &"a".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_plugin_for_another_version_is_refused() {
        let error = |version| {
            let Wrong { message, remedy } = check_api(version).err().unwrap();
            format!("{message} ({remedy})")
        };
        assert!(check_api("0.1").is_ok() && check_api("0.1.7").is_ok());
        assert_snapshot!(error("0.2"), @"it was written for Kitfox 0.2, and this is 0.1 (update Kitfox, or take a version of the plugin for 0.1)");
        assert_snapshot!(error("0.0"), @r#"it was written for Kitfox 0.0, and this is 0.1 (take a version of the plugin for 0.1, or try it with `kitfox = "0.1"`)"#);
        assert_snapshot!(error("1"), @r#"`kitfox` is `1`, which is no version (write the version the plugin was written for: `kitfox = "0.1"`)"#);
        assert_snapshot!(error("^0.1"), @r#"`kitfox` is `^0.1`, which is no version (write the version the plugin was written for: `kitfox = "0.1"`)"#);
    }
}
