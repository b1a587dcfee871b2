/* SPDX-License-Identifier: Apache-2.0 */
/* The table of LVM commands and of their options (docs/spec/lvm2-commands.md 3 to 5). */
#include "ctl/lvm/lvmcmd.h"

const struct lvmcmd_opt lvmcmd_opts[] = {
    {"all", LVMCMD_FLAG, "hidden LVs too; in pvs: devices that are no PVs too"},
    {"aligned", LVMCMD_FLAG, "align columns in spite of --separator"},
    {"binary", LVMCMD_FLAG, "0 and 1 instead of words"},
    {"config", LVMCMD_STR, "settings of lvm.conf, 'section/key=value'"},
    {"commandprofile", LVMCMD_STR, "accepted for lvm2's sake"},
    {"debug", LVMCMD_FLAG, "accepted for lvm2's sake"},
    {"devices", LVMCMD_STR, "files and devices to look at, with ',' or ':' between"},
    {"devicesfile", LVMCMD_STR, "accepted for lvm2's sake"},
    {"driverloaded", LVMCMD_YN, "accepted for lvm2's sake"},
    {"force", LVMCMD_FLAG, "override checks; twice for dangerous ones"},
    {"foreign", LVMCMD_FLAG, "VGs of other hosts too"},
    {"help", LVMCMD_FLAG, "tell about the command"},
    {"lockopt", LVMCMD_STR, "accepted for lvm2's sake"},
    {"longhelp", LVMCMD_FLAG, "tell about the command"},
    {"nameprefixes", LVMCMD_FLAG, "LVM2_NAME='value'"},
    {"noheadings", LVMCMD_FLAG, "no line of headings"},
    {"nohints", LVMCMD_FLAG, "accepted for lvm2's sake"},
    {"nolocking", LVMCMD_FLAG, "take no locks"},
    {"nosuffix", LVMCMD_FLAG, "no unit behind sizes"},
    {"novolumegroup", LVMCMD_FLAG, "only PVs that are in no VG"},
    {"options", LVMCMD_STR, "fields: list, +list, -list, or help"},
    {"profile", LVMCMD_STR, "accepted for lvm2's sake"},
    {"quiet", LVMCMD_FLAG, "no messages but errors"},
    {"readonly", LVMCMD_FLAG, "read without locks"},
    {"reportformat", LVMCMD_STR, "basic or json"},
    {"segments", LVMCMD_FLAG, "one line per segment"},
    {"select", LVMCMD_STR, "only what fits the expression"},
    {"separator", LVMCMD_STR, "text between columns"},
    {"shared", LVMCMD_FLAG, "VGs with a lock manager too"},
    {"short", LVMCMD_FLAG, "short form"},
    {"sort", LVMCMD_STR, "sort by fields, '-' for downwards"},
    {"test", LVMCMD_FLAG, "change nothing"},
    {"trustcache", LVMCMD_FLAG, "accepted for lvm2's sake"},
    {"unbuffered", LVMCMD_FLAG, "accepted for lvm2's sake"},
    {"units", LVMCMD_STR, "r h b s k m g t p e; upper case for powers of 1000"},
    {"unquoted", LVMCMD_FLAG, "with --nameprefixes: no quotes"},
    {"uuid", LVMCMD_FLAG, "UUIDs too"},
    {"verbose", LVMCMD_FLAG, "more columns, more messages"},
    {"version", LVMCMD_FLAG, "versions"},
    {"yes", LVMCMD_FLAG, "answer yes to all questions"},
    {NULL},
};

const char lvmcmd_common_opts[] =
    "h:help longhelp version v:verbose q:quiet y:yes t:test d:debug devices config nolocking "
    "devicesfile profile commandprofile readonly reportformat nohints lockopt driverloaded";

#define REPORT                                                                                     \
    "o:options O:sort S:select a:all noheadings nosuffix units separator aligned nameprefixes "    \
    "unquoted binary unbuffered segments foreign shared trustcache"

const struct lvmcmd_cmd lvmcmd_cmds[] = {
    {"fullreport", "[VG...]", 0, 1000, 0, REPORT, "report on VGs with all that is in them",
     lvmcmd_fullreport},
    {"help", "[COMMAND...]", 0, 100, LVMCMD_C_NO_SCAN, "", "tell about commands", lvmcmd_help_cmd},
    {"lvs", "[VG|VG/LV|@TAG...]", 0, 1000, 0, REPORT, "report on logical volumes", lvmcmd_lvs},
    {"lvscan", "", 0, 0, 0, "a:all", "list logical volumes", lvmcmd_lvscan},
    {"pvs", "[PV|@TAG...]", 0, 1000, 0, REPORT, "report on physical volumes", lvmcmd_pvs},
    {"pvscan", "", 0, 0, 0, "s:short n:novolumegroup u:uuid", "list physical volumes",
     lvmcmd_pvscan},
    {"segtypes", "", 0, 0, LVMCMD_C_NO_SCAN, "", "list the segment types that are known",
     lvmcmd_segtypes},
    {"version", "", 0, 0, LVMCMD_C_NO_SCAN, "", "show versions", lvmcmd_version},
    {"vgs", "[VG|@TAG...]", 0, 1000, 0, REPORT, "report on volume groups", lvmcmd_vgs},
    {"vgscan", "", 0, 0, 0, "", "list volume groups", lvmcmd_vgscan},
    {NULL},
};
