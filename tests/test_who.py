# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.samples import process
from tracer.model.process import Container, Parent
from tracer.model.who import Who, common, role, who
from tracer.output.who_cell import fit_who
from tracer.printable import width

QUERY = process(
    comm="query.py",
    exe="/usr/bin/python3.11",
    args=("/usr/bin/python3", "/opt/query.py", "--name", "a b"),
    parents=(
        Parent(4200, "sh", "/usr/bin/dash", exe_here=True, script="/etc/cron.d/cronjob.sh"),
        Parent(1, "systemd", None),
    ),
    units=("cron.service",),
)


def called(exe, *args, **changes):
    return str(who(process(exe=exe, args=args or None, **changes)))


def test_a_script_in_its_role():
    said = who(QUERY)
    script = "query.py --name 'a b'"
    assert said == Who(
        f"python3 {script}", "← cronjob.sh", "[cron.service]", script=script, name="query.py"
    )
    assert str(who(QUERY._replace(parents=(), units=()))) == "python3 query.py --name 'a b'"


@pytest.mark.parametrize(
    ("exe", "args", "expected"),
    [
        ("/usr/bin/curl", ("curl", "-s", "http://a/?b&c"), "curl -s 'http://a/?b&c'"),
        ("/usr/sbin/nginx", ("nginx: worker process",), "'nginx: worker process'"),
        ("/usr/bin/dash", ("/bin/sh", "-c", "x"), "sh -c x"),
        ("/usr/bin/bash", ("-bash",), "bash"),
        ("/usr/bin/evil", ("/usr/sbin/sshd", "-D"), "evil -D"),  # it may call itself anything
        ("/bin/busybox", ("wget", "x"), "busybox x"),
        ("/usr/bin/curl (deleted)", ("curl",), "curl"),
        ("/usr/bin/curl", (), "curl"),
        (None, ("x", "y"), "dig y"),
    ],
)
def test_a_program_and_its_arguments(exe, args, expected):
    assert called(exe, *args) == expected


def test_what_a_process_says_of_itself_cannot_pass_for_its_parent():
    assert called("/usr/bin/nc", "nc", "← cron [cron.service]") == "nc '← cron [cron.service]'"
    assert called(None, comm="a ← cron") == "'a ← cron'"


def test_a_path_that_leads_elsewhere_is_marked():
    assert called("/usr/sbin/sshd", "sshd", "-D", exe_here=False) == "sshd (not here) -D"


def test_arguments_that_were_cut_off():
    assert called("/usr/bin/curl", "curl", "a", args_truncated=True) == "curl a …"


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        (Parent(7, "make", "/usr/bin/make"), "curl ← make"),
        (Parent(7, "job", None), "curl ← job"),
        (Parent(7, "a b", None), "curl ← 'a b'"),
        (Parent(7, "x", "/bin/python3", script="-m http.server"), "curl ← python3 -m http.server"),
        (Parent(7, "sh", "/usr/bin/dash", script="-c"), "curl ← dash"),
        (Parent(None, None, None), "curl"),
        (Parent(1, "init", "/sbin/init"), "curl"),
        (Parent(7, "systemd", "/usr/lib/systemd/systemd"), "curl ← systemd"),
    ],
)
def test_parents(parent, expected):
    assert called("/usr/bin/curl", "curl", parents=(parent,)) == expected


def test_what_goes_without_saying():
    manager = Parent(7, "systemd", "/usr/lib/systemd/systemd")
    by_manager = called("/usr/bin/curl", "curl", parents=(manager,), units=("user@1.service",))
    assert by_manager == "curl [user@1.service]"
    assert called("/usr/bin/curl", "curl", units=("session-3.scope",)) == "curl"
    container = Container("0123456789abcdef" * 4, "docker", None)
    shim = Parent(7, "containerd-shim", "/usr/bin/containerd-shim-runc-v2")
    inside = called("/usr/bin/curl", "curl", parents=(shim,), container=container)
    assert inside == "curl [docker 0123456789ab]"
    theirs = container._replace(runtime=None, user=1000)
    said = called("/usr/bin/curl", "curl", container=theirs, units=("user@1000.service",))
    assert said == "curl [container 0123456789ab of uid 1000]"


def test_a_role_is_the_same_whatever_the_arguments_and_the_pid():
    other = QUERY._replace(pid=1, args=("python3", "/opt/query.py", "--name", "c"))
    assert role(QUERY) == role(other)
    for changes in (
        {"args": ("python3", "/opt/other.py")},
        {"parents": ()},
        {"units": ()},
        {"user": "bob"},
        {"exe": "/usr/bin/python3.12"},
        {"exe_here": False},
    ):
        assert role(QUERY._replace(**changes)) != role(QUERY)


def test_arguments_in_common():
    one = process(args=("dig", "@10.0.0.5", "a"))
    assert common(one, one._replace(pid=1)) == one
    both = common(one, process(args=("dig", "@10.0.0.5", "b")))
    assert (both.pid, both.args, both.args_truncated) == (one.pid, ("dig", "@10.0.0.5"), True)
    assert common(one, process(args=None)).args == ()


LONG = Who(
    "python3 query.py --name 'a b' --out /tmp/x",
    "← cronjob.sh",
    "[cron.service]",
    script="query.py --name 'a b' --out /tmp/x",
    name="query.py",
)


@pytest.mark.parametrize("columns", range(70))
def test_who_fits(columns):
    wide = Who("文書 文書 文書 文書", "← 文書", "[文書]", script="文書 文書", name="文書")
    unknown = Who("[wireguard-of-a-long-name0]")
    for one in (LONG, LONG._replace(parent=""), LONG._replace(name="x" * 30), wide, unknown):
        assert width(fit_who(one, columns)) <= columns


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (70, str(LONG)),
        (68, "query.py --name 'a b' --out /tmp/x ← cronjob.sh [cron.service]"),
        (50, "query.py --name …t /tmp/x ← cronjob.sh [cron.serv…"),
        (40, "query.py --na…/tmp/x ← cronjob.sh [cron…"),
        (36, "query.py --name… /tmp/x ← cronjob.sh"),
        (25, "query.py …/x ← cronjob.sh"),
        (22, "query.py ← cronjob.sh"),
        (21, "query.py ← cronjob.sh"),
        (20, "query.py ← cronjob.…"),
        (16, "query.py ← cron…"),
        (15, "query.py …tmp/x"),
        (9, "query.py"),
        (6, "query…"),
    ],
)
def test_the_arguments_give_way_before_the_parent(columns, expected):
    assert fit_who(LONG, columns) == expected


def test_the_parent_is_whole_wherever_it_fits_beside_the_name():
    for columns in range(width("query.py ← cronjob.sh"), 70):
        assert "← cronjob.sh" in fit_who(LONG, columns)
        assert fit_who(LONG, columns).startswith(("query.py ", "python3 query.py "))


def test_arguments_that_are_not_shared_are_one_ellipsis():
    both = LONG._replace(command="python3 query.py --host …", script="query.py --host …")
    assert fit_who(both, 26) == "query.py …t … ← cronjob.sh"
    assert fit_who(both, 25) == "query.py --… ← cronjob.sh"
    for columns in range(60):
        assert "… …" not in fit_who(both, columns)


def test_a_place_without_a_parent():
    inside = LONG._replace(parent="", place="[docker 0123456789ab]")
    assert fit_who(inside, 40) == "query.py --na…/tmp/x [docker 0123456789…"
    assert fit_who(inside, 20) == "query.py --na…/tmp/x"


def test_where_there_is_little_room_the_interpreter_is_left_out():
    one = Who("python3 query.py --all", "← cronjob.sh", "", "query.py --all", "query.py")
    assert fit_who(one, 35) == "python3 query.py --all ← cronjob.sh"
    assert fit_who(one, 34) == fit_who(one, 27) == "query.py --all ← cronjob.sh"
    assert fit_who(one, 15) == "query.py --all"
    assert fit_who(one, 10) == "query.py …"
    assert fit_who(Who("curl -s http://a", "← sh", name="curl"), 10) == "curl ← sh"
