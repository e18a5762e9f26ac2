//! What files are: by the names and types that clients give them, and by their first bytes.

/// The images that browsers show and that cannot hold a script.
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];

/// Of a file's name, in characters.
const NAME_LENGTH: usize = 200;

const UNKNOWN: &str = "application/octet-stream";

/// How many bytes [`image_type`] looks at.
pub const IMAGE_HEAD: usize = 12;

/// Whether files of this type are shown as images, if they are what they say.
pub fn is_image(mime_type: &str) -> bool {
    IMAGES.contains(&mime_type)
}

/// What an image is by its first bytes, where it is one that can be shown.
pub fn image_type(head: &[u8]) -> Option<&'static str> {
    let at = |from: usize, text: &[u8]| head.get(from..from + text.len()) == Some(text);
    if at(0, b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if at(0, b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
        Some("image/gif")
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        Some("image/webp")
    } else if at(4, b"ftypavif") || at(4, b"ftypavis") {
        Some("image/avif")
    } else {
        None
    }
}

/// Whether files of this type are read as text, if they are UTF-8.
pub fn is_text(mime_type: &str) -> bool {
    const OTHERS: &[&str] = &[
        "application/json",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/javascript",
        "application/sql",
        "image/svg+xml",
    ];
    mime_type.starts_with("text/")
        || OTHERS.contains(&mime_type)
        || mime_type.ends_with("+json")
        || mime_type.ends_with("+xml")
}

/// Whether model providers read files of this type.
pub fn is_document(mime_type: &str) -> bool {
    const OTHERS: &[&str] = &[
        "application/pdf",
        "application/rtf",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
    ];
    OTHERS.contains(&mime_type)
        || mime_type.starts_with("application/vnd.openxmlformats-officedocument.")
        || mime_type.starts_with("application/vnd.oasis.opendocument.")
}

/// The type of a file. Browsers do not know all types: then the name's ending decides. None: what was given is no type.
pub fn type_of(mime_type: &str, name: &str) -> Option<String> {
    if ["", UNKNOWN].contains(&mime_type.trim()) {
        let guess = mime_guess::from_path(name).first_raw();
        return Some(guess.unwrap_or(UNKNOWN).to_owned());
    }
    essence(mime_type)
}

/// A type in lower case without its parameters. None: it is no type.
pub fn essence(mime_type: &str) -> Option<String> {
    let essence = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // <https://www.rfc-editor.org/rfc/rfc6838#section-4.2>
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&it))
    };
    let (kind, of) = essence.split_once('/')?;
    (is_name(kind) && is_name(of)).then_some(essence)
}

/// Whether this can stand for types: `image/*`, `application/pdf`.
pub fn is_pattern(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, of)| !kind.is_empty() && !of.is_empty())
}

/// Whether a type is one of `pattern`: `image/*`, `application/pdf`.
pub fn matches(pattern: &str, mime_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("" | "*/") => true,
        Some(kind) if kind.ends_with('/') => mime_type.starts_with(kind),
        Some(_) | None => pattern.eq_ignore_ascii_case(mime_type),
    }
}

/// A file's name as it can be shown: without the folders before it, and without characters that are not seen or that
/// turn the others round. It is cleaned and not refused, because people do not choose the names of what they are sent.
pub fn clean_name(name: &str) -> String {
    let visible: String = name.chars().filter(|it| !is_unseen(*it)).collect();
    let last = visible.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if last.trim_matches('.').is_empty() {
        return "file".to_owned();
    }
    shorten(last)
}

/// Whether a character is not seen, or turns others round.
pub fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Keeps the ending, by which people know what it is.
fn shorten(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME_LENGTH {
        return name.to_owned();
    }
    let ending = match name.rsplit_once('.') {
        Some((_, ending)) if ending.chars().count() <= 16 => format!(".{ending}"),
        Some(_) | None => String::new(),
    };
    let kept = NAME_LENGTH - 1 - ending.chars().count();
    let begin: String = name.chars().take(kept).collect();
    format!("{begin}…{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_people_see_of_it() {
        for (given, expected) in [
            ("report.pdf", "report.pdf"),
            ("/etc/passwd", "passwd"),
            (r"C:\Users\ada\cv.doc", "cv.doc"),
            ("../../x.txt", "x.txt"),
            ("a\0b\n.txt", "ab.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("\u{feff}\u{200b}zwsp.txt ", "zwsp.txt"),
            ("žluťoučký 🎉.md", "žluťoučký 🎉.md"),
            ("..", "file"),
            ("", "file"),
            ("folder/", "file"),
            ("\u{202e}", "file"),
        ] {
            assert_eq!(clean_name(given), expected, "{given:?}");
        }
        let long = clean_name(&format!("{}.pdf", "x".repeat(999)));
        assert_eq!(long.chars().count(), NAME_LENGTH);
        assert!(long.ends_with("x….pdf"), "{long}");
    }

    #[test]
    fn a_type_is_lower_case_and_without_parameters() {
        let essence = |it| essence(it).unwrap_or_else(|| "none".to_owned());
        assert_eq!(essence("Text/HTML; charset=utf-8"), "text/html");
        assert_eq!(essence("image/svg+xml"), "image/svg+xml");
        for wrong in
            ["text", "text/", "/plain", "text/pl ain", "text/pl\r\nx: y", "te\0xt/x", "a/b/c"]
        {
            assert_eq!(essence(wrong), "none", "{wrong:?}");
        }
        assert!(super::essence(&"x/".repeat(300)).is_none());
    }

    #[test]
    fn a_file_without_a_type_has_that_of_its_ending() {
        let type_of = |given, name| type_of(given, name).unwrap();
        assert_eq!(type_of("", "notes.md"), "text/markdown");
        assert_eq!(type_of("image/png", "notes.md"), "image/png");
        assert_eq!(type_of(UNKNOWN, "notes.md"), "text/markdown");
        assert_eq!(type_of(" ", "a"), UNKNOWN);
    }

    #[test]
    fn a_pattern_takes_a_type_or_a_kind() {
        assert!(matches("image/*", "image/png") && !matches("image/*", "imagex/png"));
        assert!(matches("*/*", "a/b") && matches("*", "a/b"));
        assert!(matches("Application/PDF", "application/pdf"));
        assert!(!matches("text/plain", "text/html") && !matches("te*", "text/html"));
    }

    #[test]
    fn an_image_is_known_by_its_first_bytes() {
        let webp = b"RIFF\0\0\0\0WEBPVP8 ";
        assert_eq!(webp[..IMAGE_HEAD].len(), IMAGE_HEAD);
        for (head, expected) in [
            (&b"\x89PNG\r\n\x1a\n\0\0"[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (webp, Some("image/webp")),
            (b"\0\0\0\x20ftypavif", Some("image/avif")),
            (b"<svg onload=alert(1)>", None),
            (b"<!doctype html>", None),
            (b"\x89PN", None),
            (b"", None),
        ] {
            assert_eq!(image_type(head), expected, "{head:?}");
        }
    }
}
