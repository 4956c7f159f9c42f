/* SPDX-License-Identifier: MIT */
/*
 * MESSAGE_ID of each event that we log. systemd/modelhealthd.catalog explains the same ids in an
 * operator's words; a lint compares the two. Ids are API: they never change meaning.
 */
#pragma once

#define MSG_STARTED          "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d01"
#define MSG_STOPPING         "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d02"
#define MSG_STATE_CHANGED    "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d03"
#define MSG_FLAPPING_STARTED "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d04"
#define MSG_FLAPPING_STOPPED "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d05"
#define MSG_CONFIG_LOADED    "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d06"
#define MSG_CONFIG_REJECTED  "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d07"
#define MSG_SELF_OFFLINE     "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d08"
#define MSG_SELF_ONLINE      "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d09"
#define MSG_LOOP_STALLED     "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d0a"
#define MSG_LOG_DROPPED      "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d0b"
#define MSG_LOCAL_LIMIT      "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d0c"
#define MSG_CLOCK_JUMPED     "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d0d"
#define MSG_CHECK_LOST       "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d0e"
#define MSG_BUDGET_EXHAUSTED "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d0f"
#define MSG_START_FAILED     "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d10"
#define MSG_STATE_RESTORED   "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d11"
#define MSG_STATE_BROKEN     "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d12"
#define MSG_STATE_NOT_KEPT   "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d13"
#define MSG_CLOCK_SET        "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d14"
#define MSG_CHECK_DONE       "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d15"
