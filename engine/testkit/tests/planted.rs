//! The bugs of `make planted` fit the code as it is.

use std::path::Path;
use std::process::Command;

#[test]
fn every_planted_bug_can_be_put_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("engine/testkit/planted");
    let mut patches: Vec<_> =
        folder.read_dir().expect("is there").map(|entry| entry.expect("can be read").path()).collect();
    patches.sort();
    assert!(patches.len() >= 10, "{patches:?}");
    for patch in patches {
        let output = Command::new("patch")
            .args(["--strip=1", "--batch", "--dry-run", "--input"])
            .arg(&patch)
            .current_dir(&root)
            .output()
            .expect("patch is there: Debian's build-essential needs it");
        assert!(output.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&output.stdout));
    }
}
