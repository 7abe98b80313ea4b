//! Exports that somebody changed afterwards: `verify` notices each, and says where.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vault_proto::ids::Digest;
use vault_proto::object::statement_path;
use vault_tests::command::end;
use vault_tests::scene::Scene;

use super::*;

/// An export of anna's, and what was done to copies of it.
struct Original {
    scene: Scene,
    folder: PathBuf,
    copies: u32,
    wrong: Vec<String>,
}

/// Ids or paths, each with what is found of it.
type Findings<'a> = &'a [(&'a str, &'a str)];

impl Original {
    fn new(more: &[&str]) -> Self {
        let scene = Scene::new();
        let folder = scene.folder().join("original");
        exported(&export(&scene, "anna", &folder, more), 5, 5);
        Self { scene, folder, copies: 0, wrong: Vec::new() }
    }

    fn copy(&mut self) -> PathBuf {
        self.copies += 1;
        let copied = self.scene.folder().join(format!("copy {}", self.copies));
        copy(&self.folder, &copied);
        copied
    }

    fn verify_both(&self, folder: &Path) -> [Verified; 2] {
        [verify(Some(&self.scene.home("anna")), folder), verify(None, folder)]
    }

    /// Somebody changes a copy; exactly these recordings and files are then named, with this exit code.
    fn changed(
        &mut self,
        what: &str,
        exit: i32,
        (recordings, files): (Findings<'_>, Findings<'_>),
        change: impl FnOnce(&Scene, &Path),
    ) {
        let folder = self.copy();
        change(&self.scene, &folder);
        let expected: BTreeMap<&str, &str> =
            recordings.iter().map(|(name, finding)| (self.scene.id(name), *finding)).collect();
        let files: BTreeMap<String, String> =
            files.iter().map(|(file, finding)| ((*file).to_owned(), (*finding).to_owned())).collect();
        for verified in self.verify_both(&folder) {
            let found = verified.wrong();
            let as_expected = found.keys().eq(expected.keys())
                && found
                    .iter()
                    .zip(expected.values())
                    .all(|((_, found), one_of)| one_of.split('|').any(|one| one == *found));
            // Files that are named beside the recordings are those that were changed, or theirs.
            let others = verified.files.iter().filter(|(file, finding)| files.get(*file) != Some(*finding));
            let strange =
                others.filter(|(file, _)| !expected.keys().any(|id| file.contains(&id[..12]))).count();
            let named = files.keys().all(|file| verified.files.contains_key(file));
            if verified.said.exit != Some(exit) || !as_expected || strange > 0 || !named {
                let found = (verified.said.exit, found, &verified.files);
                self.wrong.push(format!("{what}: {found:?}, not {exit} {expected:?} {files:?}"));
            }
        }
        let human = end(&mut verifying(Some(&self.scene.home("anna")), &folder));
        let text = String::from_utf8(human.stdout).unwrap();
        if [&text, &human.stderr].iter().map(|said| said.matches("of 5 recordings").count()).sum::<usize>()
            != 1
        {
            self.wrong.push(format!("{what}: the figures are not told once: {text} {}", human.stderr));
        }
        for (recording, finding) in &expected {
            let told = |line: &&str| {
                finding.split('|').any(|one| line.starts_with(&one.replace('-', " ")))
                    && line.contains(recording)
            };
            if !text.lines().any(|line| told(&line)) {
                self.wrong.push(format!("{what}: a person is not told of {recording}: {finding}"));
            }
        }
    }

    /// Somebody changes a copy; it is refused as a whole with one of these exit codes, and nothing is called right.
    fn refused(&mut self, what: &str, exits: &[i32], words: &str, change: impl FnOnce(&Scene, &Path)) {
        let folder = self.copy();
        change(&self.scene, &folder);
        for verified in self.verify_both(&folder) {
            let said = &verified.said;
            let right = verified.recordings.keys().any(|id| verified.finding(id) == "right");
            let named = said.stderr.contains(words);
            if !said.exit.is_some_and(|exit| exits.contains(&exit)) || right || !named {
                self.wrong.push(format!("{what}: {:?} {:?} {}", said.exit, verified.recordings, said.stderr));
            }
        }
    }

    #[track_caller]
    fn end(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        for verified in self.verify_both(&self.folder) {
            verified.is_whole(5);
        }
    }
}

/// Brings `SHA256SUMS` up to date with what lies in the folder, as whoever holds it could.
fn sum_again(folder: &Path) {
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let summed = sums.lines().filter_map(|line| {
        let name = line.split_once("  ").unwrap().1;
        let bytes = fs::read(folder.join(name)).ok()?;
        Some(format!("{}  {name}\n", Digest::of(&bytes)))
    });
    let summed: String = summed.collect();
    assert_ne!(summed, sums);
    fs::write(folder.join("SHA256SUMS"), summed).unwrap();
}

fn of(scene: &Scene, folder: &Path, name: &str, object: &str) -> PathBuf {
    folder.join("rec").join(scene.id(name)).join(object)
}

fn exchange(one: &Path, other: &Path) {
    let aside = one.with_file_name("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(aside, other).unwrap();
}

#[test]
fn every_change_of_an_opened_export_is_noticed() {
    let mut original = Original::new(&[]);
    let a1 = &[("a1", "changed")][..];
    original.changed("a bit of a medium", 11, (a1, &[]), |scene, folder| {
        flip(&folder.join(medium(folder, scene.id("a1"))));
    });
    let incomplete = &[("a1", "incomplete")][..];
    original.changed("a medium deleted", 11, (incomplete, &[]), |scene, folder| {
        fs::remove_file(folder.join(medium(folder, scene.id("a1")))).unwrap();
    });
    original.changed("a medium cut short", 11, (a1, &[]), |scene, folder| {
        let path = folder.join(medium(folder, scene.id("a1")));
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1_000).unwrap();
    });
    original.changed("bytes appended to a medium", 11, (a1, &[]), |scene, folder| {
        let path = folder.join(medium(folder, scene.id("a1")));
        let longer = [fs::read(&path).unwrap(), b"more".to_vec()].concat();
        fs::write(path, longer).unwrap();
    });
    original.changed(
        "media exchanged",
        11,
        (&[("a1", "changed"), ("a2", "changed")], &[]),
        |scene, folder| {
            let (one, other) = (medium(folder, scene.id("a1")), medium(folder, scene.id("a2")));
            exchange(&folder.join(one), &folder.join(other));
        },
    );
    original.changed("a folder in place of a medium", 11, (incomplete, &[]), |scene, folder| {
        let path = folder.join(medium(folder, scene.id("a1")));
        fs::remove_file(&path).unwrap();
        fs::create_dir(path).unwrap();
    });
    original.changed("one track of two deleted", 11, (&[("s1", "incomplete")], &[]), |scene, folder| {
        fs::remove_file(folder.join(medium(folder, scene.id("s1")))).unwrap();
    });
    original.changed("a title edited", 11, (a1, &[]), |scene, folder| {
        let path = described(folder, scene.id("a1")).0.join("recording.json");
        let text = fs::read_to_string(&path).unwrap().replace("Title of a1", "Title of b9");
        fs::write(path, text).unwrap();
    });
    original.changed("recording.json deleted", 11, (incomplete, &[]), |scene, folder| {
        fs::remove_file(described(folder, scene.id("a1")).0.join("recording.json")).unwrap();
    });
    original.changed("a recording's folder deleted", 11, (incomplete, &[]), |scene, folder| {
        fs::remove_dir_all(described(folder, scene.id("a1")).0).unwrap();
    });
    original.changed(
        "a recording's folder and statements deleted",
        11,
        (&[("a1", "missing")], &[]),
        |scene, folder| {
            fs::remove_dir_all(described(folder, scene.id("a1")).0).unwrap();
            fs::remove_dir_all(of(scene, folder, "a1", "")).unwrap();
        },
    );
    original.changed("all of it gone but its statements' folder", 11, (incomplete, &[]), |scene, folder| {
        fs::remove_dir_all(described(folder, scene.id("a1")).0).unwrap();
        fs::remove_file(of(scene, folder, "a1", "manifest")).unwrap();
    });
    // Dora is the clinician of all of them: what is not proved of her is proved of none.
    let all = ["a1", "a2", "o1", "p1", "s1"].map(|name| (name, "not-proved"));
    let dora = original.scene.account("dora").parse().unwrap();
    let member = original.scene.objects("a1").member(dora);
    for (kind, digest) in [("certificate", member.certificate), ("key list", member.key_list)] {
        let path = statement_path(&digest);
        let (gone, changed) = ([(path.as_str(), "missing")], [(path.as_str(), "changed")]);
        original.changed(&format!("a {kind} deleted"), 11, (&all, &gone), |_, folder| {
            fs::remove_file(folder.join(&path)).unwrap();
        });
        original.changed(&format!("a {kind} with a changed bit"), 11, (&all, &changed), |_, folder| {
            flip(&folder.join(&path));
        });
        let other = statement_path(&original.scene.objects("a1").member(dora).issuer);
        original.changed(
            &format!("another statement in place of a {kind}"),
            11,
            (&all, &changed),
            |_, folder| {
                fs::copy(folder.join(other), folder.join(&path)).unwrap();
            },
        );
    }
    for object in ["manifest", "final", "seg/0/seal"] {
        original.changed(&format!("{object} deleted"), 11, (incomplete, &[]), |scene, folder| {
            fs::remove_file(of(scene, folder, "a1", object)).unwrap();
        });
        let both = &[("a1", "changed"), ("a2", "changed")];
        original.changed(&format!("{object} exchanged"), 11, (both, &[]), |scene, folder| {
            exchange(&of(scene, folder, "a1", object), &of(scene, folder, "a2", object));
        });
    }
    let both = &[("a1", "changed"), ("a2", "changed")];
    original.changed("all statements exchanged", 11, (both, &[]), |scene, folder| {
        exchange(&folder.join("rec").join(scene.id("a1")), &folder.join("rec").join(scene.id("a2")));
    });
    original.changed("the page changed", 11, (&[], &[("index.html", "changed")]), |_, folder| {
        fs::write(folder.join("index.html"), "<h1>another page</h1>").unwrap();
    });
    original.changed("FHIR deleted", 11, (&[], &[("fhir/r4.json", "missing")]), |_, folder| {
        fs::remove_file(folder.join("fhir/r4.json")).unwrap();
    });
    original.end();
}

#[test]
fn what_says_what_belongs_to_an_export_cannot_be_changed() {
    let mut original = Original::new(&[]);
    let dora = original.scene.folder().join("dora's");
    exported(&export(&original.scene, "dora", &dora, &[]), 6, 6);
    let all = [11, 13, 14];
    original.refused("recording.json with its sum", &[11], "SHA256SUMS", |scene, folder| {
        let path = described(folder, scene.id("a1")).0.join("recording.json");
        let text = fs::read_to_string(&path).unwrap().replace("Title of a1", "Title of b9");
        fs::write(path, text).unwrap();
        sum_again(folder);
    });
    original.refused("a medium with its sum", &[11], "SHA256SUMS", |scene, folder| {
        flip(&folder.join(medium(folder, scene.id("a1"))));
        sum_again(folder);
    });
    original.refused("a recording with its sums deleted", &[11], "SHA256SUMS", |scene, folder| {
        fs::remove_dir_all(described(folder, scene.id("a1")).0).unwrap();
        fs::remove_dir_all(of(scene, folder, "a1", "")).unwrap();
        sum_again(folder);
    });
    for name in ["SHA256SUMS", "proof/export", "proof/list", "proof/list-object"] {
        original.refused(&format!("{name} deleted"), &[11], name, |_, folder| {
            fs::remove_file(folder.join(name)).unwrap();
        });
        original.refused(&format!("{name} of another account"), &all, "", |_, folder| {
            fs::copy(dora.join(name), folder.join(name)).unwrap();
        });
        original.refused(&format!("{name} with a changed bit"), &[10, 11, 13, 14, 15], "", |_, folder| {
            flip(&folder.join(name));
        });
    }
    // Who signed it is known by statements of its own account.
    let anna = original.scene.account("anna").parse().unwrap();
    let member = original.scene.objects("a1").member(anna);
    for digest in member.statements() {
        let path = statement_path(&digest);
        original.refused("a statement of its account deleted", &[11], "is missing", |_, folder| {
            fs::remove_file(folder.join(&path)).unwrap();
        });
        original.refused("another statement in its place", &[11], "damaged", |_, folder| {
            fs::copy(folder.join("proof/list"), folder.join(&path)).unwrap();
        });
        original.refused("a statement of its account with a changed bit", &[11, 14, 15], "", |_, folder| {
            flip(&folder.join(&path));
        });
    }
    original.refused("list and list object of another account", &all, "", |_, folder| {
        for name in ["proof/list", "proof/list-object"] {
            fs::copy(dora.join(name), folder.join(name)).unwrap();
        }
    });
    original.refused("a list object that names one less", &all, "", |scene, folder| {
        let path = folder.join("proof/list-object");
        let mut object: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let entries = object["recordings"].as_array_mut().unwrap();
        entries.retain(|entry| entry["recording"] != scene.id("a1"));
        fs::write(path, serde_json::to_vec(&object).unwrap()).unwrap();
    });
    original.end();
}

#[test]
fn an_older_list_does_not_fit_a_newer_export() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    let older = scene.folder().join("older");
    copy(&folder, &older);
    let new = super::contents::seal_another(&scene);
    exported(&export(&scene, "anna", &folder, &[]), 6, 1);
    for name in ["proof/list", "proof/list-object"] {
        fs::copy(older.join(name), folder.join(name)).unwrap();
    }
    for home in [Some(scene.home("anna")), None] {
        let verified = verify(home.as_deref(), &folder);
        assert!(
            matches!(verified.said.exit, Some(11 | 13)),
            "{:?} {}",
            verified.said.exit,
            verified.said.stderr
        );
        assert_eq!(verified.recordings, BTreeMap::new());
    }
    // All of yesterday's proof under today's files: the recording that came later is not hidden from its own device.
    for name in ["proof/export", "SHA256SUMS", "index.html", "fhir/r4.json", "fhir/r5.json"] {
        fs::copy(older.join(name), folder.join(name)).unwrap();
    }
    let verified = verify(Some(&scene.home("anna")), &folder);
    assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
    assert_eq!(verified.summary["superseded"], true);
    assert_eq!(verified.finding(&new), "nothing");
}

#[test]
fn the_export_of_another_account_is_checked_and_named_as_that() {
    let scene = Scene::new();
    let folder = scene.folder().join("export");
    exported(&export(&scene, "anna", &folder, &[]), 5, 5);
    for who in ["dora", "bert"] {
        let verified = verify(Some(&scene.home(who)), &folder);
        // Nothing is wrong with it, and a script of dora's must not take it for hers.
        assert_eq!(verified.said.exit, Some(20), "{}", verified.said.stderr);
        assert_eq!((&verified.summary["right"], &verified.summary["pinned"]), (&5.into(), &false.into()));
        assert_eq!(verified.summary["other_than"], scene.account(who));
        for account in ["anna", who] {
            assert!(verified.said.stderr.contains(scene.account(account)), "{}", verified.said.stderr);
        }
    }
    // What is wrong with it is told as with one's own.
    flip(&folder.join(medium(&folder, scene.id("a1"))));
    let verified = verify(Some(&scene.home("dora")), &folder);
    assert_eq!((verified.said.exit, verified.finding(scene.id("a1"))), (Some(11), "changed"));
}

#[test]
fn every_change_of_a_sealed_export_is_noticed() {
    let mut original = Original::new(&["--sealed"]);
    let (a1, s1) = (&[("a1", "changed")][..], &[("s1", "changed")][..]);
    original.changed("a bit of a body", 11, (a1, &[]), |scene, folder| {
        flip(&of(scene, folder, "a1", "seg/0/body"));
    });
    original.changed("bytes appended to a body", 11, (a1, &[]), |scene, folder| {
        let path = of(scene, folder, "a1", "seg/0/body");
        let longer = [fs::read(&path).unwrap(), b"more".to_vec()].concat();
        fs::write(path, longer).unwrap();
    });
    original.changed("a header of another segment", 11, (s1, &[]), |scene, folder| {
        let header = of(scene, folder, "s1", "seg/1/header");
        fs::copy(header, of(scene, folder, "s1", "seg/2/header")).unwrap();
    });
    original.changed("a part list that is shorter", 11, (a1, &[]), |scene, folder| {
        let path = of(scene, folder, "a1", "seg/0/parts");
        let list = fs::read(&path).unwrap();
        fs::write(path, &list[..list.len() - 32]).unwrap();
    });
    for object in
        ["key.0", "details", "seg/0/body", "seg/0/parts", "seg/0/header", "seg/0/seal", "final", "manifest"]
    {
        original.changed(
            &format!("{object} deleted"),
            11,
            (&[("a1", "incomplete")], &[]),
            |scene, folder| {
                fs::remove_file(of(scene, folder, "a1", object)).unwrap();
            },
        );
        let both = &[("a1", "changed"), ("a2", "changed")];
        original.changed(&format!("{object} exchanged"), 11, (both, &[]), |scene, folder| {
            exchange(&of(scene, folder, "a1", object), &of(scene, folder, "a2", object));
        });
    }
    original.changed("all of a recording deleted", 11, (&[("a1", "missing")], &[]), |scene, folder| {
        fs::remove_dir_all(of(scene, folder, "a1", "")).unwrap();
    });
    let script = ("open_recordings.py", "changed");
    original.changed("the script that opens it", 11, (&[], &[script]), |_, folder| {
        fs::write(folder.join("open_recordings.py"), "print('your 24 words, please')").unwrap();
    });
    original.refused("a body with its sum", &[11], "SHA256SUMS", |scene, folder| {
        flip(&of(scene, folder, "a1", "seg/0/body"));
        sum_again(folder);
    });
    original.end();
}

/// Links are not followed out of the export unnoticed: a file that is replaced by a link to other bytes is changed.
#[test]
fn a_link_in_place_of_a_file_is_judged_by_what_it_leads_to() {
    let mut original = Original::new(&[]);
    let elsewhere = original.scene.folder().join("elsewhere");
    fs::write(&elsewhere, b"other bytes").unwrap();
    original.changed("a link to other bytes", 11, (&[("a1", "changed")], &[]), |scene, folder| {
        let path = folder.join(medium(folder, scene.id("a1")));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path).unwrap();
    });
    original.changed("a link to nothing", 11, (&[("a1", "incomplete")], &[]), |scene, folder| {
        let path = folder.join(medium(folder, scene.id("a1")));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(scene.folder().join("nothing"), path).unwrap();
    });
    original.end();
}
