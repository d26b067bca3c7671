//! Swallows what a subscriber is brought, and nothing else that a server says.

/// How what a subscriber is brought begins (RESP3): what was published to a channel, or to one of a cluster's shards.
const MESSAGES: [&[u8]; 2] = [b">3\r\n$7\r\nmessage\r\n", b">3\r\n$8\r\nsmessage\r\n"];

/// What of a server's words is not passed on yet.
#[derive(Debug, Default)]
pub(crate) struct Words(Vec<u8>);

impl Words {
    /// Takes more of them, and gives what is to be passed on now: without the messages if the subscriber is deaf.
    pub(crate) fn take(&mut self, bytes: &[u8], is_deaf: bool) -> Vec<u8> {
        self.0.extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let Some((begin, end)) = self.message() {
            let Some(end) = end else {
                passed.extend(self.0.drain(..begin));
                return passed;
            };
            let mut until = self.0.drain(..end);
            passed.extend(until.by_ref().take(begin));
            if !is_deaf {
                passed.extend(until);
            }
        }
        passed.extend(self.0.drain(..self.0.len() - self.beginning()));
        passed
    }

    /// Where the first message begins, and where it ends if it is whole.
    fn message(&self) -> Option<(usize, Option<usize>)> {
        let found = MESSAGES.iter().filter_map(|head| {
            let begin = self.0.windows(head.len()).position(|window| window == *head)?;
            Some((begin, begin + head.len()))
        });
        let (begin, head) = found.min()?;
        // Its channel and its payload.
        let end = self.string(head).and_then(|end| self.string(end));
        Some((begin, end))
    }

    /// Where the string that begins here ends, if it is whole.
    fn string(&self, begin: usize) -> Option<usize> {
        let rest = self.0.get(begin..)?;
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let length: usize = std::str::from_utf8(rest.get(1..line)?).ok()?.parse().ok()?;
        let end = begin + line + 2 + length + 2;
        (end <= self.0.len()).then_some(end)
    }

    /// How many bytes at the end may be the beginning of a message.
    fn beginning(&self) -> usize {
        let begins = |length: &usize| {
            MESSAGES
                .iter()
                .any(|head| head[..(*length).min(head.len())] == self.0[self.0.len() - length..])
        };
        let longest = MESSAGES.map(<[u8]>::len).into_iter().max().unwrap_or(0) - 1;
        (1..=longest.min(self.0.len())).rev().find(begins).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_swallowed_and_the_rest_is_passed_on_however_it_is_cut() {
        let message = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\n\r\n>3\r\n".as_slice();
        let sharded = b">3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$0\r\n\r\n".as_slice();
        let rest = [
            b"+OK\r\n".as_slice(),
            b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
            b">",
        ];
        let all = [rest[0], message, rest[1], sharded, message, rest[2]].concat();
        for piece in 1..all.len() {
            for (is_deaf, expected) in [
                (true, [rest[0], rest[1]].concat()),
                (false, all[..all.len() - 1].to_vec()),
            ] {
                let mut words = Words::default();
                let passed: Vec<u8> = all.chunks(piece).flat_map(|bytes| words.take(bytes, is_deaf)).collect();
                assert_eq!(passed, expected, "in pieces of {piece}");
            }
        }
    }
}
