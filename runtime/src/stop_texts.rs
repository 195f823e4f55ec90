//! Stop texts: they end a generation and are not part of it.

/// Looks for stop texts in a stream, and holds back what may become one.
pub(crate) struct StopTexts {
    stops: Vec<String>,
    held: String,
    /// Whether a stop text came.
    pub hit: bool,
}

impl StopTexts {
    pub fn new(stops: Vec<String>) -> StopTexts {
        StopTexts { stops, held: String::new(), hit: false }
    }

    /// Adds text; gives what can no longer be part of a stop text. After a hit nothing more comes.
    pub fn push(&mut self, text: &str) -> String {
        if self.hit {
            return String::new();
        }
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.hit = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let certain = self.held.len() - self.longest_beginning();
        let rest = self.held.split_off(certain);
        std::mem::replace(&mut self.held, rest)
    }

    /// Ends the stream; gives what was held back for a stop text that did not come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes of the longest end of the held text that begins a stop text.
    fn longest_beginning(&self) -> usize {
        let begins = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).rev();
            ends.into_iter().find(|&at| self.held.ends_with(&stop[..at])).unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut texts = StopTexts::new(stops.iter().map(|s| s.to_string()).collect());
        let mut out: String = pieces.iter().map(|piece| texts.push(piece)).collect();
        if !texts.hit {
            out.push_str(&texts.held);
        }
        (out, texts.hit)
    }

    #[test]
    fn stop_texts_are_found_across_pieces() {
        assert_eq!(stream(&["END"], &["abc E", "N", "D tail"]), ("abc ".into(), true));
        assert_eq!(stream(&["END"], &["abc E", "N", "d"]), ("abc ENd".into(), false));
        assert_eq!(stream(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
        assert_eq!(stream(&["é!", "x"], &["caf", "é", "!"]), ("caf".into(), true));
    }

    proptest! {
        /// However the text is cut, the result is the text up to the first stop text.
        #[test]
        fn pieces_do_not_matter(pieces in prop::collection::vec("[abé]{0,3}", 0..12), stop in "[abé]{1,3}") {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            let expected = match whole.find(&stop) {
                Some(at) => (whole[..at].to_owned(), true),
                None => (whole, false),
            };
            prop_assert_eq!(stream(&[&stop], &pieces), expected);
        }
    }
}
