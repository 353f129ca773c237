import os
import stat

import pytest

from tracekit.batch import cases


def write(path, text="x\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def paths(found):
    return [c.path for c in found]


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "in/a.log", "one\n")
    write(tmp_path / "in/b/dmesg", "two\n")
    write(tmp_path / "in/b/c/messages", "three\n")
    write(tmp_path / "in/z.tar.gz")
    write(tmp_path / "in/.hidden")
    write(tmp_path / "in/README.md")
    return tmp_path / "in"


def test_each_entry_of_a_folder_is_a_case(folder):
    found, errors = cases.find([str(folder)])
    assert paths(found) == [f"{folder}/a.log", f"{folder}/b", f"{folder}/z.tar.gz"]
    assert [c.size for c in found] == [4, 10, 2]
    assert errors == []


def test_support_archives_in_a_folder_are_cases_and_their_checksums_are_not(tmp_path):
    names = ["bug-report-20261120120000.tar.bz2", "must-gather.tar.gz", "scc_h_261120_1200.txz", "sosreport-h-2026-11-20-abc.tar.xz"]
    for name in (*names, "sosreport-h-2026-11-20-abc.tar.xz.sha256", "scc_h_261120_1200.txz.md5"):
        write(tmp_path / "in" / name)
    assert [c.path for c in cases.find([str(tmp_path / "in")])[0]] == [f"{tmp_path}/in/{name}" for name in names]


def test_pipes_and_sockets_in_a_folder_are_no_cases_and_links_are_those_of_their_files(folder):
    os.mkfifo(folder / "b.log")
    os.mknod(folder / "c.log", stat.S_IFSOCK | 0o600)
    (folder / "d.log").symlink_to("b.log")
    (folder / "e.log").symlink_to("a.log")
    (folder / "f.log").symlink_to("nowhere")
    found, errors = cases.find([str(folder)])
    assert paths(found) == [f"{folder}/a.log", f"{folder}/b", f"{folder}/e.log", f"{folder}/z.tar.gz"]
    assert errors == [f"{folder}/f.log: No such file or directory"]


def test_a_folder_given_as_a_case_is_one(folder):
    assert paths(cases.find([], [str(folder)])[0]) == [str(folder)]


def test_files_are_cases_and_each_is_one_case_once(folder):
    file = f"{folder}/a.log"
    assert paths(cases.find([file, str(folder), file])[0]) == [file, f"{folder}/b", f"{folder}/z.tar.gz"]


def test_a_list_names_cases_and_what_is_missing_fails_as_a_case(folder):
    listing = write(folder.parent / "list.txt", f"# logs\n{folder}/b\n\n{folder}/nothing\n")
    found, errors = cases.find([f"@{listing}"])
    assert [(c.path, c.mark != "") for c in found] == [(f"{folder}/b", True), (f"{folder}/nothing", False)]
    assert errors == []


def test_what_cannot_be_a_case_is_told(folder):
    empty = folder / "b/empty"
    empty.mkdir()
    found, errors = cases.find([str(folder / "nothing"), "@nowhere.txt", str(empty)])
    assert found == []
    assert set(errors) == {
        f"{folder}/nothing: No such file or directory",
        "@nowhere.txt: No such file or directory",
        f"{empty}: the folder holds no case",
    }


def test_the_mark_changes_with_the_content_and_with_the_times(folder):
    marks = {c.path: c.mark for c in cases.find([str(folder)])[0]}
    os.utime(folder / "a.log", ns=(1, 1))
    write(folder / "b/c/messages", "THREE\n")
    now = {c.path: c.mark for c in cases.find([str(folder)])[0]}
    assert [p for p in marks if marks[p] != now[p]] == [f"{folder}/a.log", f"{folder}/b"]


def test_the_digest_is_of_the_content_and_of_the_names_in_a_folder(folder):
    first = cases.digest(f"{folder}/a.log"), cases.digest(f"{folder}/b")
    os.utime(folder / "a.log", ns=(1, 1))
    assert cases.digest(f"{folder}/a.log") == first[0]
    os.rename(folder / "b/dmesg", folder / "b/dmesg2")
    assert cases.digest(f"{folder}/b") != first[1]


def test_names_that_are_no_text_have_a_label_that_is(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.log"
    with open(path, "wb") as f:
        f.write(b"x\n")
    found, _ = cases.find([str(tmp_path)])
    assert [c.label for c in found] == [f"{tmp_path}/caf\\xe9.log"]


def test_remote_folders_and_files():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/fleet/a.log", b"one\n")
    memory.pipe("/fleet/b.tgz", b"two\n")
    found, errors = cases.find(["memory://fleet/", "memory://nowhere/x.log"])
    assert paths(found) == ["memory:///fleet/a.log", "memory:///fleet/b.tgz"]
    assert cases.digest("memory://fleet/a.log") == cases.digest("memory:///fleet/a.log")
    assert len(errors) == 1 and errors[0].startswith("memory://nowhere/x.log: ")
