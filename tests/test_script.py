# SPDX-License-Identifier: Apache-2.0
import pytest

from tracer.model.script import Script, script


@pytest.mark.parametrize(
    ("exe", "args", "expected"),
    [
        ("/usr/bin/python3.11", "python3 -u -W ignore /opt/query.py --all", ("/opt/query.py", 4)),
        ("/usr/bin/python3.11 (deleted)", "python3 query.py", ("query.py", 1)),
        ("/usr/bin/python3.11", "python3 -Im http.server 80", ("-m http.server", None)),
        ("/usr/bin/python3.11", "python3 -c print()", ("-c", None)),
        ("/usr/bin/python3.11", "python3 -", None),
        ("/usr/bin/bash", "bash /dev/fd/3", None),
        ("/usr/bin/python3.11", "python3", None),
        ("/usr/bin/dash", "/bin/sh -e /etc/cron.d/job x", ("/etc/cron.d/job", 2)),
        ("/usr/bin/bash", "-bash", None),
        ("/usr/bin/bash", "bash -lc curl", ("-c", None)),
        ("/usr/bin/bash", "bash --rcfile x -o pipefail job.sh", ("job.sh", 5)),
        ("/usr/bin/perl", "perl -ne print", ("-e", None)),
        ("/usr/bin/perl5.36", "perl -I lib -w job.pl", ("job.pl", 4)),
        ("/usr/bin/ruby3.1", "ruby -r json job.rb", ("job.rb", 3)),
        ("/usr/bin/node", "node --require x server.js", ("server.js", 3)),
        ("/usr/bin/php8.2", "php -d a=b -f job.php", ("job.php", 4)),
        ("/usr/lib/jvm/bin/java", "java -Xmx1g -cp a.jar:b.jar com.example.Main x",
         ("com.example.Main", 4)),
        ("/usr/lib/jvm/bin/java", "java -Dx=y -jar /opt/app.jar", ("/opt/app.jar", 3)),
        ("/usr/lib/jvm/bin/java", "java -m app/a.Main", ("-m app/a.Main", None)),
        ("/usr/lib/jvm/bin/java", "java -jar", None),
        ("/bin/busybox", "sh job.sh", ("job.sh", 1)),
        ("/bin/busybox", "wget http://x/", None),
        ("/usr/bin/curl", "curl -o x http://x/", None),
        (None, "python3 query.py", None),
        ("/usr/bin/python3.11", "", None),
    ],
)  # fmt: skip
def test_what_an_interpreter_runs(exe, args, expected):
    assert script(exe, args.split()) == (Script(*expected) if expected else None)


def test_arguments_that_are_not_known():
    assert script("/usr/bin/python3", None) is None


def test_a_file_is_short_without_its_folders():
    assert Script("/opt/query.py", 1).short == "query.py"
    assert Script("-m a/b").short == "-m a/b"
    assert Script("/", 1).short == "/"
