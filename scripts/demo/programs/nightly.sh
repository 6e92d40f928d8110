#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# what a machine does at night
logger --server "$SERVER" --udp --port 514 'backup begins'
python3 backup.py
curl --silent --output /dev/null "http://$SERVER/done"
curl --silent --output /dev/null "http://$SERVER:8080/notify"
logger --server "$SERVER" --udp --port 514 'backup ends'
