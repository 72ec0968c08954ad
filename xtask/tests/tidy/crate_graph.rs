//! The crate graph is the one that is drawn.

use crate::{assert_none, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn every_dependency_is_drawn_and_every_drawn_crate_exists() {
    let allowed = drawn(include_str!("walls.txt"));
    let actual = workspace();
    let mut offences = Vec::new();
    for (name, dependencies) in &actual {
        let Some(below) = allowed.get(name) else {
            offences.push(format!("{name} is not drawn in walls.txt"));
            continue;
        };
        for dependency in dependencies.difference(below) {
            offences.push(format!("{name} uses {dependency}, which is not drawn below it"));
        }
    }
    for name in allowed.keys().filter(|name| !actual.contains_key(*name)) {
        offences.push(format!("{name} is drawn and not there"));
    }
    assert_none(&offences, "the crate graph differs from the one drawn");
}

#[test]
fn kernel_and_engine_know_nothing_of_each_other() {
    let allowed = drawn(include_str!("walls.txt"));
    assert!(!allowed["kernel"].contains("engine") && !allowed["engine"].contains("kernel"));
    assert!(!allowed["mmu"].contains("kernel"));
}

/// The crates outside the workspace that `explain` and what it stands on may use: pure ones.
const PURE: [&str; 4] = ["schemars", "serde", "serde_json", "toml"];
/// What needs the host to be x86-64 Linux.
const OF_THIS_PLATFORM: [&str; 8] = ["engine", "host", "kernel", "libc", "lockstep", "machine", "mmu", "recorder"];

#[test]
fn explain_needs_no_particular_platform() {
    let below = &drawn(include_str!("walls.txt"))["explain"];
    let mut offences: Vec<String> = OF_THIS_PLATFORM
        .iter()
        .filter(|name| below.contains(**name))
        .map(|name| format!("explain stands on {name}"))
        .collect();
    for package in packages()
        .iter()
        .filter(|package| below.contains(&short(&package["name"])) || short(&package["name"]) == "explain")
    {
        for dependency in
            declared(package).filter(|dependency| dependency["kind"].is_null() && dependency["path"].is_null())
        {
            let name = short(&dependency["name"]);
            if !PURE.contains(&name.as_str()) {
                offences.push(format!("{} uses {name}", short(&package["name"])));
            }
        }
    }
    assert_none(&offences, "explain must build on any platform");
}

#[test]
fn the_binary_names_this_platform_where_it_needs_it() {
    let packages = packages();
    let cli = packages.iter().find(|package| short(&package["name"]) == "cli").expect("there is a binary");
    let everywhere = declared(cli).filter(|dependency| dependency["kind"].is_null() && dependency["target"].is_null());
    let offences: Vec<String> = everywhere
        .map(|dependency| short(&dependency["name"]))
        .filter(|name| OF_THIS_PLATFORM.contains(&name.as_str()))
        .collect();
    assert_none(&offences, "dependencies of the binary that belong below [target.'cfg(...)'.dependencies]");
}

/// Everything each crate may use: what is drawn, and what lies below that.
fn drawn(text: &str) -> Graph {
    let mut graph = Graph::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let name = words.next().expect("the line is not empty");
        let mut below = BTreeSet::new();
        for word in words {
            if word == "*" {
                below.extend(graph.keys().cloned());
            } else {
                below.extend(graph.get(word).unwrap_or_else(|| panic!("{word} is drawn before {name}")).clone());
                below.insert(word.to_string());
            }
        }
        graph.insert(name.to_string(), below);
    }
    graph
}

/// What each crate of the workspace does use, tests and build scripts included; xtask stands outside.
fn workspace() -> Graph {
    packages().iter().map(|package| (short(&package["name"]), dependencies(package))).collect()
}

/// The packages of the workspace as cargo describes them, without xtask.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages.iter().filter(|package| package["name"] != "xtask").cloned().collect()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    declared(package)
        .filter(|dependency| !dependency["path"].is_null())
        .map(|dependency| short(&dependency["name"]))
        .collect()
}

/// What a package's manifest says it depends on.
fn declared(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"].as_array().expect("a list of dependencies").iter()
}

/// The name a crate is drawn with: the binary's package is the project's.
fn short(name: &Value) -> String {
    let name = name.as_str().expect("a name is a string");
    if name == "pagewalk" { "cli".to_string() } else { name.trim_start_matches("pagewalk-").to_string() }
}
