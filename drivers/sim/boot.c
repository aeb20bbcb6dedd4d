/* SPDX-License-Identifier: Apache-2.0 */
/* What the board says by itself: its way up and its way down. */
#include <inttypes.h>
#include <string.h>

#include "drivers/sim/machine.h"

enum style { LOADER, KERNEL, SERVICE };

struct script_line {
    unsigned at;         /* thousandths of the whole time */
    enum style style;
    const char *text;    /* "@" stands for the host name */
};

const char sim_kernel_version[] = "6.6.0-sim";

#define KERNEL_AT 220u   /* when the loader hands over */

static const struct script_line boot_script[] = {
    { 0, LOADER, "" },
    { 0, LOADER, "SimLoader 2.1 on SimBoard rev C" },
    { 20, LOADER, "RAM: 512 MiB, checked" },
    { 40, LOADER, "MMC: card of 8 GB in slot 0" },
    { 60, LOADER, "Net: no link on eth0" },
    { 80, LOADER, "Autoboot from mmc 0, partition 1" },
    { 120, LOADER, "Reading kernel.img: 7340032 bytes" },
    { 160, LOADER, "Reading simboard.dtb: 24576 bytes" },
    { 200, LOADER, "Checksums are right, starting the kernel" },
    { 218, LOADER, "" },
    { KERNEL_AT, KERNEL, "Linux version 6.6.0-sim (gcc 13.2.0) #1 SMP" },
    { 222, KERNEL, "Machine model: Simulated Board rev C" },
    { 226, KERNEL, "Kernel command line: console=ttyS0,115200 root=/dev/mmcblk0p2 rootwait" },
    { 240, KERNEL, "Memory: 498112K/524288K available" },
    { 260, KERNEL, "smp: Brought up 1 node, 4 CPUs" },
    { 290, KERNEL, "simserial 10000000.serial: ttyS0, 115200 baud" },
    { 320, KERNEL, "simeth 10010000.ethernet eth0: MAC address 02:00:5e:10:00:01" },
    { 360, KERNEL, "simusb 10020000.usb: host controller with 2 ports" },
    { 410, KERNEL, "mmc0: new high speed card at address 0001" },
    { 430, KERNEL, "mmcblk0: p1 p2" },
    { 470, KERNEL, "EXT4-fs (mmcblk0p2): mounted filesystem read-write" },
    { 500, KERNEL, "Run /sbin/init as init process" },
    { 560, KERNEL, "systemd[1]: Hostname set to <@>." },
    { 620, SERVICE, "Mounted the temporary directory /tmp." },
    { 670, SERVICE, "Started the journal." },
    { 720, SERVICE, "Found device /dev/ttyS0." },
    { 770, SERVICE, "Set up the network." },
    { 820, SERVICE, "Started the time service." },
    { 860, KERNEL, "simeth 10010000.ethernet eth0: link up, 1000 Mbit/s, full duplex" },
    { 900, SERVICE, "Started the SSH server." },
    { 950, SERVICE, "Started a login on ttyS0." },
    { 980, SERVICE, "Reached multi-user operation." },
};

static const struct script_line stop_script[] = {
    { 0, SERVICE, "Stopped the login on ttyS0." },
    { 200, SERVICE, "Stopped the SSH server." },
    { 400, SERVICE, "Unmounted the temporary directory /tmp." },
    { 600, KERNEL, "EXT4-fs (mmcblk0p2): unmounting filesystem" },
    { 900, KERNEL, "@ goes down" },
};

static uint64_t moment(unsigned at, uint64_t whole)
{
    return whole * at / 1000;
}

/* @since: kernel start to this line */
static void line_print(struct jmp_sim_board *board, const struct script_line *line, uint64_t since)
{
    const char *at = strchr(line->text, '@');

    if (line->style == KERNEL)
        sim_print(board, "[%5" PRIu64 ".%06" PRIu64 "] ", since / JMP_USEC_PER_SEC, since % JMP_USEC_PER_SEC);
    else if (line->style == SERVICE)
        sim_print(board, "[  OK  ] ");

    if (at)
        sim_print(board, "%.*s%s%s\n", (int)(at - line->text), line->text, board->settings.hostname, at + 1);
    else
        sim_print(board, "%s\n", line->text);
}

/* Prints the lines of @script whose time has come. */
static bool script_run(struct jmp_sim_board *board, struct sim_job *job, const struct script_line *script, size_t count,
                       uint64_t whole, uint64_t now)
{
    while (job->next < (int64_t)count && sim_room(board)) {
        const struct script_line *line = &script[job->next];
        uint64_t due = job->begin + moment(line->at, whole);

        if (due > now) {
            job->wake = due;
            return true;
        }
        line_print(board, line, due > board->kernel ? due - board->kernel : 0);
        job->next++;
    }

    job->wake = job->begin + whole;
    return job->next < (int64_t)count || job->wake > now;
}

static bool boot_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now)
{
    return script_run(board, job, boot_script, ELEMENTSOF(boot_script), board->settings.boot, now);
}

void sim_boot(struct jmp_sim_board *board, uint64_t now)
{
    board->state = SIM_BOOTING;
    board->kernel = now + moment(KERNEL_AT, board->settings.boot);
    board->status = 0;
    sim_job_start(board, now, boot_run, sim_login);
}

static bool stop_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now)
{
    return script_run(board, job, stop_script, ELEMENTSOF(stop_script), board->settings.boot / 4, now);
}

static void halt(struct jmp_sim_board *board, uint64_t now)
{
    sim_print(board, "Power may be switched off.\n");
    board->state = SIM_HALTED;
}

void sim_stop(struct jmp_sim_board *board, uint64_t now, bool reboot)
{
    board->state = SIM_STOPPING;
    sim_job_start(board, now, stop_run, reboot ? sim_boot : halt);
}

bool sim_log_run(struct jmp_sim_board *board, struct sim_job *job, uint64_t now)
{
    for (; job->next < (int64_t)ELEMENTSOF(boot_script) && sim_room(board); job->next++) {
        const struct script_line *line = &boot_script[job->next];

        if (line->style == KERNEL)
            line_print(board, line, moment(line->at - KERNEL_AT, board->settings.boot));
    }

    return job->next < (int64_t)ELEMENTSOF(boot_script);
}
