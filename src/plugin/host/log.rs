use tracing::{debug, error, info, warn};

const LONGEST: usize = 4096;

/// Writes a plugin's own words to our log.
pub fn write(plugin: &str, level: &str, message: &str) -> Result<(), String> {
    let message = clean(message);
    match level {
        "error" => error!(target: "plugin", plugin, "{message}"),
        "warn" => warn!(target: "plugin", plugin, "{message}"),
        "info" => info!(target: "plugin", plugin, "{message}"),
        "debug" => debug!(target: "plugin", plugin, "{message}"),
        _ => {
            return Err(format!(
                "there is no log level `{level}`: use `error`, `warn`, `info` or `debug`"
            ));
        }
    }
    Ok(())
}

/// One line of bounded length, that no terminal takes for a command.
fn clean(message: &str) -> String {
    let mut line = String::new();
    for char in message.chars() {
        let char = if matches!(char, '\n' | '\t') { ' ' } else { char };
        if char.is_control() {
            continue;
        }
        if line.len() + char.len_utf8() > LONGEST {
            line.push('…');
            break;
        }
        line.push(char);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        assert_eq!(clean("a\nb\tc\r\u{1b}[31md\0é"), "a b c[31mdé");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let line = clean(&format!("a{}", "é".repeat(LONGEST)));
        assert!(line.ends_with("é…") && line.len() <= LONGEST + '…'.len_utf8());
        assert_eq!(clean(&"a".repeat(LONGEST)).len(), LONGEST);
    }

    #[test]
    fn a_level_that_is_none_is_named() {
        assert_eq!(
            write("cats", "fatal", "x").unwrap_err(),
            "there is no log level `fatal`: use `error`, `warn`, `info` or `debug`"
        );
        assert_eq!(write("cats", "debug", "x"), Ok(()));
    }
}
