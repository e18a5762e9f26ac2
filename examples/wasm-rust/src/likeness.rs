//! How much two texts are alike, from 0 to 1.

/// The words of `query` are each as alike as the word of `item` that is most so; their order does not matter.
pub fn likeness(query: &str, item: &str) -> f64 {
    let (query, item) = (words(query), words(item));
    if query.is_empty() || item.is_empty() {
        return 0.0;
    }
    let best = |word: &Vec<char>| item.iter().map(|it| of_words(word, it)).fold(0.0, f64::max);
    let sum: f64 = query.iter().map(best).sum();
    // What is as alike and shorter is what was meant.
    let spare = item.len().saturating_sub(query.len());
    sum / query.len() as f64 * (1.0 - 0.02 * spare.min(10) as f64)
}

fn words(text: &str) -> Vec<Vec<char>> {
    let text = text.to_lowercase();
    let words = text.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty());
    words.map(|it| it.chars().collect()).collect()
}

fn of_words(query: &[char], word: &[char]) -> f64 {
    if query == word {
        return 1.0;
    }
    if word.starts_with(query) {
        return 0.9;
    }
    let longer = query.len().max(word.len());
    let typos = 1.0 - distance(query, word) as f64 / longer as f64;
    // A word that was cut short may have its typos as well.
    let begin = &word[..query.len().min(word.len())];
    let cut = 0.9 * (1.0 - distance(query, begin) as f64 / query.len() as f64);
    typos.max(if query.len() >= 3 { cut } else { 0.0 })
}

/// How many letters are to be added, removed or replaced, or swapped with the next one.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            rows[i][j] = if swapped { least.min(rows[i - 2][j - 2] + 1) } else { least };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_more_alike_than_the_rest() {
        for (query, meant, other) in [
            ("ada", "Ada Lovelace", "Adam Smith"),
            ("hpoper", "Grace Hopper", "Grace Kelly"),
            ("müler", "Jörg Müller", "Jörg Maurer"),
            ("turing alan", "Alan Turing", "Alan Kay"),
            ("lovel", "Ada Lovelace", "Louvre"),
        ] {
            let (a, b) = (likeness(query, meant), likeness(query, other));
            assert!(a > b && a > 0.6, "{query}: {meant} {a}, {other} {b}");
        }
    }

    #[test]
    fn nothing_is_like_nothing() {
        assert_eq!(likeness("", "Ada"), 0.0);
        assert_eq!(likeness("Ada", "- -"), 0.0);
    }
}
