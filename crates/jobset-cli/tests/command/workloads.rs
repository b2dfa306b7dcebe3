//! The workloads among the examples, of the kinds that JobSets are made for, come to the right results.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::examples::run;
use crate::support::{Ended, Place, Running, has, missing, repository, said};

/// What one role's Jobs have come to, as (succeeded, failed).
fn jobs(ended: &Ended, role: &str) -> (u64, u64) {
    let document = ended.json();
    let roles = document["jobsets"][0]["replicatedJobs"].as_array().unwrap();
    let of_role = roles.iter().find(|entry| entry["name"] == role).unwrap();
    let count = |what: &str| of_role[what].as_u64().unwrap();
    (count("succeeded"), count("failed"))
}

/// Checks the lines of a Pod, each of which has to be there once.
#[track_caller]
fn expect_once(ended: &Ended, pod: &str, lines: &[&str]) {
    for line in lines {
        assert_eq!(said(ended, pod, line), 1, "{line:?}: {}", ended.stderr);
    }
}

/// Runs an example of which Jobs must neither fail nor be restarted.
#[track_caller]
fn completed(ended: Ended) -> Ended {
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(set["result"], "Completed");
    assert_eq!(set["restarts"], 0, "{}", ended.stderr);
    ended
}

/// `PATH` beginning with a Python that has a module. Says so loudly if there is none.
fn path_with(module: &str) -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/bin".into());
    // Where the `setup.sh` of an example puts it.
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    if let Some(cache) = cache.or(home) {
        places.push(cache.join("jobset-examples").join(module).join("bin"));
    }
    let import = format!("import {module}");
    let imports = |directory: &PathBuf| {
        Command::new(directory.join("python3"))
            .args(["-c", &import])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let Some(found) = places.into_iter().find(imports) else {
        missing(&format!("Python's {module}"));
        return None;
    };
    let all = std::iter::once(found).chain(std::env::split_paths(&path));
    Some(std::env::join_paths(all).unwrap())
}

fn run_with_path(example: &str, path: &OsStr) -> Ended {
    let place = Place::new();
    let mut command = place.command(&[
        "run".as_ref(),
        "-o".as_ref(),
        "json".as_ref(),
        repository(example).as_os_str(),
    ]);
    command.env("PATH", path);
    Running::start(command).wait()
}

#[test]
fn etl_stages_follow_each_other() {
    if !has("python3") {
        return;
    }
    let ended = completed(run(&Place::new(), "examples/etl/jobset.yaml"));
    expect_once(
        &ended,
        "load-0-0",
        &[
            "DE: 2989 orders, 765985.91 EUR",
            "FR: 2918 orders, 748450.64 EUR",
            "GB: 2883 orders, 751612.88 EUR",
            "US: 2939 orders, 759992.04 EUR",
            "compared with a sequential run: equal",
        ],
    );
    // A stage that began early would miss files, or parts of them, and fail or differ.
    let lines_of = |start: &str| {
        ended
            .stderr
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    let stages = ["extract-0-", "transform-0-", "load-0-"].map(lines_of);
    assert_eq!(stages, [4, 3, 5], "{}", ended.stderr);
}

#[test]
fn parameter_servers_come_to_the_true_weights() {
    if !has("python3") {
        return;
    }
    let ended = completed(run(&Place::new(), "examples/parameter-server/jobset.yaml"));
    let weights = [
        "weights: 3.000000 0.500000 -0.250000 -2.000000",
        "weights: -1.000000 2.000000 1.500000 0.125000",
    ];
    for (server, weights) in weights.into_iter().enumerate() {
        let pod = format!("servers-{server}-0");
        let added = format!("server {server} has added up 1200 changes");
        let lines = [&added, weights, "compared with the truth: equal"];
        expect_once(&ended, &pod, &lines);
    }
    assert_eq!(
        (jobs(&ended, "servers"), jobs(&ended, "workers")),
        ((2, 0), (1, 0))
    );
}

#[test]
fn the_driver_ends_the_workers() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let ended = completed(run(&place, "examples/driver-and-workers/jobset.yaml"));
    let line = "there are 6057 primes below 60000, expected 6057";
    expect_once(&ended, "driver-0-0", &[line]);
    assert_eq!(
        (jobs(&ended, "driver"), jobs(&ended, "workers")),
        ((1, 0), (0, 0))
    );
}

#[test]
fn a_web_site_is_crawled() {
    if !has("python3") {
        return;
    }
    let ended = completed(run(&Place::new(), "examples/web-crawler/jobset.yaml"));
    expect_once(
        &ended,
        "coordinator-0-0",
        &[
            "pages: 151",
            "redirects: 15",
            "dead links: 15",
            "forbidden addresses: 15",
            "addresses elsewhere: 2",
            "compared with the plan of the site: equal",
        ],
    );
    let lines = ended.stderr.lines();
    let fetched = lines.filter_map(|line| {
        line.strip_suffix(" addresses")?
            .rsplit_once(" has fetched ")
    });
    let fetched: usize = fetched.map(|(_, n)| n.parse::<usize>().unwrap()).sum();
    assert_eq!(fetched, 151 + 15 + 15, "each address once");
    assert_eq!(jobs(&ended, "site"), (0, 0), "it is ended");
}

#[test]
fn relatives_of_a_sequence_are_found() {
    if !has("python3") {
        return;
    }
    let example = "examples/sequence-alignment/jobset.yaml";
    let ended = completed(run(&Place::new(), example));
    expect_once(
        &ended,
        "master-0-0",
        &[
            "sequence 41: score 219",
            "sequence 7: score 194",
            "sequence 23: score 132",
            "the best of the others: score 93",
            "compared with what was hidden: equal",
        ],
    );
    assert_eq!(jobs(&ended, "master"), (1, 0));
}

#[test]
fn a_film_is_transcoded_in_pieces() {
    if !has("ffmpeg") {
        return;
    }
    let ended = completed(run(&Place::new(), "examples/transcoding/jobset.yaml"));
    let pieces: BTreeSet<_> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("pieces-0-"))
        .collect();
    assert_eq!(pieces.len(), 8, "{}", ended.stderr);
    expect_once(
        &ended,
        "join-0-0",
        &["codec, width, height, frames: h264,320,180,200"],
    );
    let (_, similarity) = ended
        .stderr
        .split_once("200 frames compared with the original, the least similarity is ")
        .unwrap();
    let similarity: f64 = similarity.lines().next().unwrap().parse().unwrap();
    assert!(similarity > 0.98, "{similarity}");
}

#[test]
fn torchrun_trains_as_one_process_does() {
    let Some(path) = path_with("torch.distributed") else {
        return;
    };
    let ended = completed(run_with_path("examples/torchrun/jobset.yaml", &path));
    for rank in 0..2 {
        // torchrun puts the local rank in front.
        let line = format!("[default0]:rank {rank} of 2 is in torchrun-workers-0-{rank}-");
        assert_eq!(ended.stderr.matches(&line).count(), 1, "{}", ended.stderr);
    }
    expect_once(
        &ended,
        "workers-0-0",
        &[
            "[default0]:the ranks among each other: equal",
            "[default0]:compared with one process: equal",
        ],
    );
}

#[test]
fn mpirun_starts_ranks_in_other_pods() {
    if !has("mpirun") {
        return;
    }
    let Some(path) = path_with("mpi4py") else {
        return;
    };
    let ended = completed(run_with_path("examples/mpi/jobset.yaml", &path));
    for rank in 0..3 {
        let line = format!("rank {rank} of 3 is on mpi-workers-{rank}-0");
        expect_once(&ended, "launcher-0-0", &[&line]);
    }
    let lines = [
        "mean temperature: 5.553501",
        "compared with one process: equal",
    ];
    expect_once(&ended, "launcher-0-0", &lines);
    assert_eq!(
        (jobs(&ended, "launcher"), jobs(&ended, "workers")),
        ((1, 0), (0, 0))
    );
}

#[test]
fn jax_trains_on_data_of_several_processes() {
    let Some(path) = path_with("jax") else {
        return;
    };
    let ended = completed(run_with_path("examples/jax/jobset.yaml", &path));
    for process in 0..2 {
        let line = format!("process {process} has 1 of 2 devices");
        expect_once(&ended, &format!("workers-0-{process}"), &[&line]);
    }
    expect_once(
        &ended,
        "workers-0-0",
        &[
            "weights: 3.000000 -1.000000 0.500000 2.000000 -0.250000 1.500000 -2.000000 0.125000",
            "compared with NumPy and the truth: equal",
        ],
    );
}
