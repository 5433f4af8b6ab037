//! What `cargo test` printed: which tests ran, and how they ended.

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Passed,
    Failed,
    Ignored,
}

/// The tests of a run, by their target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestLog {
    tests: Vec<(String, End)>,
}

/// What some tests of a run have shown together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// Tests that did not run.
    pub ignored: u32,
}

impl TestLog {
    /// Reads what `cargo test` printed, both streams in one.
    pub fn parse(text: &str) -> Self {
        let (mut tests, mut target) = (Vec::new(), "");
        for line in text.lines() {
            if let Some(named) = target_of(line) {
                target = named;
            } else if let Some((name, end)) = test_of(line) {
                tests.push((format!("{target} {name}"), end));
            }
        }
        Self { tests }
    }

    /// The tests of that name, or of that prefix where it ends in `*`; `None` when there is none.
    pub fn count(&self, check: &str) -> Option<Count> {
        let is_meant = |name: &str| match check.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == check,
        };
        let mut count = Count::default();
        let mut found = false;
        for (_, end) in self.tests.iter().filter(|(name, _)| is_meant(name)) {
            found = true;
            *match end {
                End::Passed => &mut count.passed,
                End::Failed => &mut count.failed,
                End::Ignored => &mut count.ignored,
            } += 1;
        }
        found.then_some(count)
    }
}

/// `Running tests/veth/main.rs (target/debug/deps/veth-0123456789abcdef)`: the tests that follow are of `veth`.
fn target_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with("Doc-tests ") {
        return Some("doc");
    }
    let path = line.strip_prefix("Running ")?.rsplit_once('(')?.1.strip_suffix(')')?;
    Some(path.rsplit('/').next()?.rsplit_once('-')?.0)
}

/// `test opening::flood ... ok`
fn test_of(line: &str) -> Option<(&str, End)> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let end = match end.split([',', ' ']).next()? {
        "ok" => End::Passed,
        "FAILED" => End::Failed,
        "ignored" => End::Ignored,
        _ => return None,
    };
    Some((name.trim_end().trim_end_matches(" - should panic"), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
     Running unittests src/lib.rs (target/debug/deps/synward_proto-00ff)
running 3 tests
test seq::tests::wraps ... ok
test seq::tests::panics - should panic ... ok
test bench::slow ... ignored, takes long
     Running tests/veth/main.rs (/somewhere/target/debug/deps/veth-12ab34)
test curl     ... ok
test seq::tests::wraps ... FAILED
   Doc-tests synward_engine
test engine/src/lib.rs - (line 9) ... ok
";

    #[test]
    fn tests_are_found_by_target_and_name() {
        let log = TestLog::parse(LOG);
        let count = |passed, failed, ignored| Some(Count { passed, failed, ignored });
        assert_eq!(log.count("synward_proto seq::tests::wraps"), count(1, 0, 0));
        assert_eq!(log.count("synward_proto seq::tests::panics"), count(1, 0, 0));
        assert_eq!(log.count("veth seq::tests::wraps"), count(0, 1, 0));
        assert_eq!(log.count("veth curl"), count(1, 0, 0));
        assert_eq!(log.count("synward_proto *"), count(2, 0, 1));
        assert_eq!(log.count("synward_proto seq::tests::wrap"), None);
    }
}
