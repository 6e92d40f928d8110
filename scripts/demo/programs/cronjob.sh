#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# asks for a name, once a minute
while :; do
    python3 query.py
    echo ready
    sleep 60
done
