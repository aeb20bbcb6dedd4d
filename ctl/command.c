/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/command.h"

#include <limits.h>
#include <string.h>

#include "ctl/cmd_admin.h"
#include "ctl/cmd_config.h"
#include "ctl/cmd_kube.h"
#include "ctl/ctl.h"

#define WIDTH 100u
#define JMP_COMMANDS_NEXT_MAX 24u

const struct jmp_option jmp_global_options[] = {
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_LEASE_OPTION,
    JMP_CTL_DIRECT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    { JMP_FIELD(struct jmp_ctl_options, version), .letter = 'V', .help = "show the version" },
    {}
};

const struct jmp_option jmp_plain_options[] = { JMP_CTL_HELP_OPTION, {} };

#define PLAIN .options = jmp_plain_options, .size = sizeof(struct jmp_ctl_options)

const struct jmp_command jmp_commands[] = {
    { .name = "get exporters",
      .help = "list the boards of the lab",
      .words = "[NAME...]",
      .most = UINT_MAX,
      .options = jmp_get_exporters_options,
      .size = sizeof(struct jmp_get_exporters),
      .run = jmp_cmd_get_exporters,
      .word = JMP_WORD_EXPORTER },
    { .name = "get leases",
      .help = "list leases",
      .words = "[NAME...]",
      .most = UINT_MAX,
      .options = jmp_get_leases_options,
      .size = sizeof(struct jmp_get_leases),
      .run = jmp_cmd_get_leases,
      .word = JMP_WORD_LEASE },
    { .name = "get drivers",
      .help = "list the drivers of an exporter and what they can do",
      .words = "[DRIVER]",
      .most = UINT_MAX,
      .options = jmp_get_drivers_options,
      .size = sizeof(struct jmp_get_drivers),
      .run = jmp_cmd_get_drivers,
      .word = JMP_WORD_DRIVER },
    { .name = "create lease",
      .help = "reserve a board",
      .options = jmp_create_lease_options,
      .size = sizeof(struct jmp_create_lease),
      .run = jmp_cmd_create_lease,
      .details = "The lease is printed at once; it holds a board as soon as one is free.\n\n"
                 "  export JMP_LEASE=$(jmpctl create lease -l board=rpi4 --duration 2h -o name)\n"
                 "  jmpctl shell\n"
                 "  jmpctl delete lease $JMP_LEASE" },
    { .name = "update lease",
      .help = "change a lease, or hand it over",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_update_lease_options,
      .size = sizeof(struct jmp_update_lease),
      .run = jmp_cmd_update_lease,
      .word = JMP_WORD_LEASE },
    { .name = "delete leases",
      .help = "give boards back",
      .words = "[NAME...]",
      .most = UINT_MAX,
      .options = jmp_delete_leases_options,
      .size = sizeof(struct jmp_delete_leases),
      .run = jmp_cmd_delete_leases,
      .word = JMP_WORD_LEASE },
    { .name = "shell",
      .help = "take a board and work with it",
      .words = "[-- COMMAND [ARGUMENT...]]",
      .most = UINT_MAX,
      .options = jmp_shell_options,
      .size = sizeof(struct jmp_shell),
      .run = jmp_cmd_shell,
      .word = JMP_WORD_COMMAND,
      .verbatim = true,
      .details =
          "Makes a lease, waits for a board, and starts a shell, or COMMAND, in which \"jmpctl DRIVER ...\" and the "
          "stock\n"
          "\"j DRIVER ...\" reach it. Afterwards the board is given back. With --lease or $JMP_LEASE a lease that is\n"
          "there already is used, and kept; without any of these, your only active lease.\n\n"
          "The exit code is the command's; 2 after Ctrl-C; 126 or 127 if the command cannot be started; 1 otherwise." },
    { .name = "driver",
      .help = "use a driver whose name is also a command's",
      .words = "DRIVER VERB [ARGUMENT...]",
      .least = 1,
      .most = UINT_MAX,
      .options = jmp_driver_options,
      .size = sizeof(struct jmp_ctl_options),
      .run = jmp_cmd_driver,
      .word = JMP_WORD_DRIVER,
      .verbatim = true },
    { .name = "logs",
      .help = "show what the exporter logs, until Ctrl-C",
      .options = jmp_logs_options,
      .size = sizeof(struct jmp_ctl_options),
      .run = jmp_cmd_logs },
    { .name = "config client list",
      .help = "list this user's client configurations",
      .options = jmp_config_list_options,
      .size = sizeof(struct jmp_config_command),
      .run = jmp_cmd_config_client_list },
    { .name = "config client create",
      .help = "make a client configuration from what the lab gave",
      .words = "ALIAS",
      .least = 1,
      .most = 1,
      .options = jmp_config_create_client_options,
      .size = sizeof(struct jmp_config_create),
      .run = jmp_cmd_config_client_create,
      .details = "What is not given is asked for. The first one made becomes the current client." },
    { .name = "config client use",
      .help = "choose the client that commands use",
      .words = "ALIAS",
      .least = 1,
      .most = 1,
      .options = jmp_config_change_options,
      .size = sizeof(struct jmp_config_command),
      .run = jmp_cmd_config_client_use,
      .word = JMP_WORD_CLIENT_CONFIG },
    { .name = "config client edit",
      .help = "change a client configuration in $EDITOR, and check it",
      .words = "ALIAS",
      .least = 1,
      .most = 1,
      .options = jmp_config_change_options,
      .size = sizeof(struct jmp_config_command),
      .run = jmp_cmd_config_client_edit,
      .word = JMP_WORD_CLIENT_CONFIG },
    { .name = "config client delete",
      .help = "delete a client configuration",
      .words = "ALIAS",
      .least = 1,
      .most = 1,
      .options = jmp_config_change_options,
      .size = sizeof(struct jmp_config_command),
      .run = jmp_cmd_config_client_delete,
      .word = JMP_WORD_CLIENT_CONFIG,
      .details = "If it was the current client, the next one is." },
    { .name = "config exporter list",
      .help = "list exporter configurations, of this user and of the system",
      .options = jmp_config_list_options,
      .size = sizeof(struct jmp_config_command),
      .run = jmp_cmd_config_exporter_list },
    { .name = "config exporter create",
      .help = "make an exporter configuration from what the lab gave",
      .words = "[ALIAS]",
      .most = 1,
      .options = jmp_config_create_exporter_options,
      .size = sizeof(struct jmp_config_create),
      .run = jmp_cmd_config_exporter_create,
      .details = "ALIAS is \"default\" unless given. What is not given is asked for." },
    { .name = "config exporter edit",
      .help = "change an exporter configuration in $EDITOR, and check it",
      .words = "[ALIAS]",
      .most = 1,
      .options = jmp_config_change_options,
      .size = sizeof(struct jmp_config_command),
      .run = jmp_cmd_config_exporter_edit,
      .word = JMP_WORD_EXPORTER_CONFIG },
    { .name = "config exporter delete",
      .help = "delete an exporter configuration",
      .words = "[ALIAS]",
      .most = 1,
      .options = jmp_config_change_options,
      .size = sizeof(struct jmp_config_command),
      .run = jmp_cmd_config_exporter_delete,
      .word = JMP_WORD_EXPORTER_CONFIG },
    { .name = "login",
      .help = "get a client's tokens from an identity provider",
      .words = "[[CLIENT@]HOST]",
      .most = 1,
      .options = jmp_login_options,
      .size = sizeof(struct jmp_login),
      .run = jmp_cmd_login,
      .details = "HOST is where the lab tells what a client has to know; without it, what is missing is asked for. A\n"
                 "browser is needed unless a password or a token is given; the link is printed. The tokens go into\n"
                 "the client's configuration, and it becomes the current one. Labs of jmp-labd need no login." },
    { .name = "auth status",
      .help = "tell how long the token of a client is valid, and whose it is",
      .options = jmp_auth_status_options,
      .size = sizeof(struct jmp_auth_command),
      .run = jmp_cmd_auth_status },
    { .name = "auth refresh",
      .help = "have a new token for a client who has logged in at an identity provider",
      .options = jmp_auth_refresh_options,
      .size = sizeof(struct jmp_auth_refresh),
      .run = jmp_cmd_auth_refresh,
      .details = "Other commands do it by themselves once the token has expired." },
    { .name = "auth rotate",
      .help = "have a new token for a client, and keep it in its configuration",
      .options = jmp_auth_rotate_options,
      .size = sizeof(struct jmp_auth_command),
      .run = jmp_cmd_auth_rotate,
      .details = "Older tokens stay valid until they expire." },
    { .name = "kube lease list",
      .help = "list the Leases of a Kubernetes namespace and their holders",
      .options = jmp_kube_lease_options,
      .size = sizeof(struct jmp_kube_lease_command),
      .run = jmp_cmd_kube_lease_get },
    { .name = "kube lease get",
      .help = "show one Lease, or all",
      .words = "[NAME]",
      .most = 1,
      .options = jmp_kube_lease_options,
      .size = sizeof(struct jmp_kube_lease_command),
      .run = jmp_cmd_kube_lease_get },
    { .name = "kube lease release",
      .help = "take a Lease from its holder, so that others may have it at once",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_kube_release_options,
      .size = sizeof(struct jmp_kube_options),
      .run = jmp_cmd_kube_lease_release },
    { .name = "kube apply",
      .help = "make or change a Lease as a file says",
      .options = jmp_kube_apply_options,
      .size = sizeof(struct jmp_kube_apply),
      .run = jmp_cmd_kube_apply },
    { .name = "kube elect",
      .help = "run a program on one of many machines: where this holds the Lease",
      .words = "-- COMMAND [ARGUMENT...]",
      .least = 1,
      .most = UINT_MAX,
      .options = jmp_kube_elect_options,
      .size = sizeof(struct jmp_kube_elect),
      .run = jmp_cmd_kube_elect,
      .verbatim = true,
      .details = "COMMAND is started when we become the leader, and ended (SIGTERM, then SIGKILL, to its process\n"
                 "group) before another can be one, also when this program is killed or hangs. Its standard input\n"
                 "is empty. The exit code is COMMAND's, or 1 when the Lease was lost." },
    { .name = "kube heartbeat",
      .help = "keep a Lease renewed, as a sign of life",
      .options = jmp_kube_heartbeat_options,
      .size = sizeof(struct jmp_kube_heartbeat),
      .run = jmp_cmd_kube_heartbeat },
    { .name = "kube monitor",
      .help = "tell which heartbeats are live, and when they stop",
      .options = jmp_kube_monitor_options,
      .size = sizeof(struct jmp_kube_monitor),
      .run = jmp_cmd_kube_monitor },
    { .name = "kube identity",
      .help = "be one of many, and clear away those that are gone; or list them",
      .options = jmp_kube_identity_options,
      .size = sizeof(struct jmp_kube_identity_command),
      .run = jmp_cmd_kube_identity },
    { .name = "kube guard",
      .help = "run COMMAND as standard input orders",
      .words = "-- COMMAND [ARGUMENT...]",
      .least = 1,
      .most = UINT_MAX,
      PLAIN,
      .run = jmp_cmd_kube_guard,
      .hidden = true,
      .verbatim = true },
    { .name = "admin get clients",
      .help = "list the lab's clients in Kubernetes, or show one",
      .words = "[NAME]",
      .most = 1,
      .options = jmp_admin_get_client_options,
      .size = sizeof(struct jmp_admin_get),
      .run = jmp_cmd_admin_get_client,
      .word = JMP_WORD_ADMIN_CLIENT },
    { .name = "admin get exporters",
      .help = "list the lab's exporters in Kubernetes, or show one",
      .words = "[NAME]",
      .most = 1,
      .options = jmp_admin_get_exporter_options,
      .size = sizeof(struct jmp_admin_get),
      .run = jmp_cmd_admin_get_exporter,
      .word = JMP_WORD_ADMIN_EXPORTER },
    { .name = "admin get leases",
      .help = "list the lab's leases in Kubernetes, or show one",
      .words = "[NAME]",
      .most = 1,
      .options = jmp_admin_get_lease_options,
      .size = sizeof(struct jmp_admin_get),
      .run = jmp_cmd_admin_get_lease,
      .word = JMP_WORD_ADMIN_LEASE },
    { .name = "admin create client",
      .help = "make a client and its credentials",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_admin_create_client_options,
      .size = sizeof(struct jmp_admin_create),
      .run = jmp_cmd_admin_create_client },
    { .name = "admin create exporter",
      .help = "make an exporter and its credentials",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_admin_create_exporter_options,
      .size = sizeof(struct jmp_admin_create),
      .run = jmp_cmd_admin_create_exporter },
    { .name = "admin delete client",
      .help = "delete a client",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_admin_delete_options,
      .size = sizeof(struct jmp_admin_delete),
      .run = jmp_cmd_admin_delete_client,
      .word = JMP_WORD_ADMIN_CLIENT },
    { .name = "admin delete exporter",
      .help = "delete an exporter",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_admin_delete_options,
      .size = sizeof(struct jmp_admin_delete),
      .run = jmp_cmd_admin_delete_exporter,
      .word = JMP_WORD_ADMIN_EXPORTER },
    { .name = "admin import client",
      .help = "save the configuration of a client that is there",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_admin_import_client_options,
      .size = sizeof(struct jmp_admin_create),
      .run = jmp_cmd_admin_import_client,
      .word = JMP_WORD_ADMIN_CLIENT },
    { .name = "admin import exporter",
      .help = "save the configuration of an exporter that is there",
      .words = "[NAME]",
      .most = 1,
      .options = jmp_admin_import_exporter_options,
      .size = sizeof(struct jmp_admin_create),
      .run = jmp_cmd_admin_import_exporter,
      .word = JMP_WORD_ADMIN_EXPORTER },
    { .name = "admin rotate client",
      .help = "give a client a new token",
      .words = "NAME",
      .least = 1,
      .most = 1,
      .options = jmp_admin_rotate_options,
      .size = sizeof(struct jmp_admin_create),
      .run = jmp_cmd_admin_rotate_client,
      .word = JMP_WORD_ADMIN_CLIENT },
    { .name = "admin lab",
      .help = "the same of the jmp-labd on this machine, without Kubernetes",
      .words = "VERB KIND [NAME] ...",
      .least = 1,
      .most = UINT_MAX,
      PLAIN,
      .run = jmp_cmd_admin_lab,
      .verbatim = true,
      .details = "  jmpctl admin lab get clients\n\n"
                 "runs \"jmp-labd get clients\": get, create, import, rotate, update and delete of clients, exporters\n"
                 "and leases. \"jmpctl admin lab help\" lists them." },
    { .name = "agent status",
      .help = "show what an exporter of this machine does",
      .words = "[NAME]",
      .most = 1,
      .options = jmp_agent_status_options,
      .size = sizeof(struct jmp_agent_status),
      .run = jmp_cmd_agent_status,
      .details = "State, lease, controller, tunnels, and each driver with its last error. NAME may be left out where "
                 "only\none runs. Root and the user that the exporter runs as are answered." },
    { .name = "agent drain",
      .help = "let an exporter of this machine leave after its lease",
      .words = "[NAME]",
      .most = 1,
      PLAIN,
      .run = jmp_cmd_agent_drain,
      .details =
          "It stops at once when nobody has a lease. The unit that comes with it starts it again, with what is new in\n"
          "its file; \"systemctl stop\" is for good." },
    { .name = "completion",
      .help = "print a completion script",
      .words = "bash|zsh|fish",
      .least = 1,
      .most = 1,
      PLAIN,
      .run = jmp_cmd_completion,
      .word = JMP_WORD_SHELL,
      .details = "  source <(jmpctl completion bash)" },
    { .name = "usb list",
      .help = "list the USB devices that an exporter gives away",
      .options = jmp_usb_list_options,
      .size = sizeof(struct jmp_usb_list_command),
      .run = jmp_cmd_usb_list,
      .shared = true },
    { .name = "usb attach",
      .help = "plug a USB device of an exporter into this machine, until Ctrl-C",
      .words = "DRIVER",
      .least = 1,
      .most = UINT_MAX,
      .options = jmp_usb_attach_options,
      .size = sizeof(struct jmp_usb_attach),
      .run = jmp_cmd_usb_attach,
      .word = JMP_WORD_DRIVER,
      .shared = true,
      .details = "The kernel sees it as if it were plugged in here. That needs root, and the module vhci-hcd.\n"
                 "A device that goes and comes back, perhaps as another, is attached again." },
    { .name = "usb detach",
      .help = "unplug what was attached",
      .words = "[PORT|DRIVER]",
      .most = 1,
      .options = jmp_usb_detach_options,
      .size = sizeof(struct jmp_usb_detach),
      .run = jmp_cmd_usb_detach,
      .shared = true,
      .details = "PORT is the number that attach and status print. It may be of another tool, such as usbip." },
    { .name = "usb status",
      .help = "list what is attached to this machine",
      .options = jmp_usb_status_options,
      .size = sizeof(struct jmp_usb_list_command),
      .run = jmp_cmd_usb_status,
      .shared = true },
    { .name = "version",
      .help = "show the version",
      .options = jmp_version_options,
      .size = sizeof(struct jmp_version),
      .run = jmp_cmd_version },
    { .name = "help", .help = "show help", .words = "[COMMAND]", .most = 2, PLAIN, .run = jmp_cmd_help },
    { .name = "complete",
      .help = "complete the last of WORDS",
      .words = "[WORD...]",
      .most = UINT_MAX,
      PLAIN,
      .run = jmp_cmd_complete,
      .hidden = true,
      .verbatim = true },
    { .name = "manual", .help = "print the manual page", PLAIN, .run = jmp_cmd_manual, .hidden = true },
    {}
};

/* As the stock client has them, and what people type. */
static const struct {
    const char *alias, *name;
    bool noun;
} aliases[] = {
    { "g", "get", false },          { "ls", "get", false },         { "list", "get", false },
    { "c", "create", false },       { "d", "delete", false },       { "del", "delete", false },
    { "rm", "delete", false },      { "remove", "delete", false },  { "sh", "shell", false },
    { "s", "shell", false },        { "ver", "version", false },    { "v", "version", false },
    { "e", "exporters", true },     { "exporter", "exporters", true }, { "l", "leases", true },
    { "lease", "leases", true },    { "driver", "drivers", true },
    { "a", "admin", false },        { "conf", "config", false },
    { "i", "import", false },       { "c", "client", true },        { "clients", "client", true },
};

const char *jmp_command_canonical(const char *word, bool noun)
{
    for (size_t i = 0; i < ELEMENTSOF(aliases); i++) {
        if (aliases[i].noun == noun && strcmp(aliases[i].alias, word) == 0)
            return aliases[i].name;
    }
    return word;
}

/* "lease" and "leases" are one noun, "ls" and "get" one verb, whichever the row has. */
static bool same_word(const char *name, size_t length, const char *word)
{
    char own[32];

    snprintf(own, sizeof(own), "%.*s", (int)length, name);
    return strcmp(own, word) == 0 || strcmp(own, jmp_command_canonical(word, false)) == 0 ||
           strcmp(jmp_command_canonical(own, true), jmp_command_canonical(word, true)) == 0;
}

/* How many words of a row's name @words begin with; *@next: the first that they do not, NULL when it is all of them. */
static unsigned agree(const char *name, char *const *words, const char **next)
{
    unsigned n = 0;

    for (; *name && words[n]; n++) {
        size_t length = strcspn(name, " ");

        if (!same_word(name, length, words[n]))
            break;
        name += length;
        name += strspn(name, " ");
    }
    *next = *name ? name : NULL;
    return n;
}

/* The words that could follow, each once, as "a, b, c" and as a list for the nearest one. */
static void list_next(char *const *words, unsigned used, char (*names)[32], const char **list, size_t most, char *text,
                      size_t size)
{
    size_t n = 0, length = 0;

    for (const struct jmp_command *command = jmp_commands; command->name; command++) {
        const char *next;
        bool known = false;

        if (command->hidden || agree(command->name, words, &next) != used || !next)
            continue;
        snprintf(names[n], sizeof(names[n]), "%.*s", (int)strcspn(next, " "), next);
        for (size_t i = 0; i < n && !known; i++)
            known = strcmp(names[i], names[n]) == 0;
        if (known)
            continue;
        if (length < size)
            length += (size_t)snprintf(text + length, size - length, "%s%s", n ? ", " : "", names[n]);
        list[n] = names[n];
        if (++n == most)
            break;
    }
}

/* What somebody may look for in vain, and why. */
static const struct {
    const char *name, *why;
} elsewhere[] = {
    { "admin create leases", "a lease is made by the client who wants it: \"jmpctl create lease\"" },
    { "admin delete leases",
      "a lease is given back by the client who holds it: \"jmpctl delete lease\"; of a jmp-labd: "
      "\"jmpctl admin lab delete lease\"" },
    { "admin import leases", "a lease has no configuration that could be saved" },
    { "admin rotate leases", "a lease has no token" },
    { "admin rotate exporters",
      "an exporter's token does not expire: delete its Secret, and \"jmpctl admin import exporter\"" },
};

static const char *why_not(const char *so_far, const char *word)
{
    char name[160];

    snprintf(name, sizeof(name), "%s %s", so_far, jmp_command_canonical(word, true));
    for (size_t i = 0; i < ELEMENTSOF(elsewhere); i++)
        if (strcmp(elsewhere[i].name, name) == 0)
            return elsewhere[i].why;
    return NULL;
}

int jmp_command_find(char *const *words, const struct jmp_command **ret, unsigned *retused, struct jmp_error *reterr)
{
    char names[JMP_COMMANDS_NEXT_MAX][32], text[300] = "", so_far[128] = "";
    const char *list[JMP_COMMANDS_NEXT_MAX + 1] = { 0 }, *next;
    unsigned most = 0;
    bool shared = false;

    *ret = NULL;
    for (const struct jmp_command *command = jmp_commands; command->name; command++) {
        unsigned n = agree(command->name, words, &next);

        if (!next && (!*ret || n > *retused)) {
            *ret = command;
            *retused = n;
        }
        if (n > most)
            most = n;
        shared |= n > 0 && command->shared;
    }
    if (*ret)
        return 0;
    if (most == 0 || (shared && words[most]))
        return -ENOENT;

    list_next(words, most, names, list, ELEMENTSOF(names), text, sizeof(text));
    for (unsigned i = 0; i < most; i++)
        snprintf(so_far + strlen(so_far), sizeof(so_far) - strlen(so_far), "%s%s", i ? " " : "",
                 i < 2 ? jmp_command_canonical(words[i], false) : words[i]);
    if (words[most] && words[most][0] != '-') {
        const char *near = jmp_nearest(words[most], list);

        jmp_error_set(reterr, -EINVAL, "\"%s %s\" is not a command", so_far, words[most]);
        if (why_not(so_far, words[most]))
            jmp_error_hint(reterr, "%s", why_not(so_far, words[most]));
        else
            jmp_error_hint(reterr, near ? "did you mean \"%s %s\"?" : "%s what? %s", so_far, near ? near : text);
    } else {
        jmp_error_set(reterr, -EINVAL, "%s what?", so_far);
        jmp_error_hint(reterr, "one of %s", text);
    }
    return -EINVAL;
}

void jmp_command_following(char *const *words, void (*offer)(const char *word, void *user), void *user)
{
    char names[JMP_COMMANDS_NEXT_MAX][32], text[300];
    const char *list[JMP_COMMANDS_NEXT_MAX + 1] = { 0 };
    unsigned used = 0;

    while (words[used])
        used++;
    list_next(words, used, names, list, JMP_COMMANDS_NEXT_MAX, text, sizeof(text));
    for (const char *const *word = list; *word; word++)
        offer(*word, user);
}

void jmp_command_help(FILE *stream, const struct jmp_command *command)
{
    fprintf(stream, "Usage: jmpctl %s [OPTIONS]%s%s\n\n%c%s.\n", command->name, command->words ? " " : "",
            command->words ? command->words : "",
            command->help[0] - ('a' <= command->help[0] && command->help[0] <= 'z' ? 32 : 0), command->help + 1);
    if (command->details)
        fprintf(stream, "\n%s\n", command->details);
    fputs("\nOptions:\n", stream);
    jmp_options_help(stream, command->options, WIDTH);
}

/* Commands that only some people need are told by their first word. */
static const struct {
    const char *name, *help;
} groups[] = {
    { "auth ...", "the token of a client: how long it is valid, a new one" },
    { "config ...", "this user's configurations of clients and exporters" },
    { "admin ...", "clients, exporters and leases as an administrator of Kubernetes sees them" },
    { "kube ...", "Leases of Kubernetes: who holds them, elections, signs of life" },
};

static const char *group_of(const struct jmp_command *command)
{
    for (size_t i = 0; i < ELEMENTSOF(groups); i++)
        if (strncmp(command->name, groups[i].name, strcspn(groups[i].name, ".")) == 0)
            return groups[i].name;
    return NULL;
}

bool jmp_command_group(FILE *stream, const char *word)
{
    bool any = false;

    word = jmp_command_canonical(word, false);
    for (const struct jmp_command *command = jmp_commands; command->name; command++) {
        if (command->hidden || strncmp(command->name, word, strlen(word)) != 0 ||
            command->name[strlen(word)] != ' ')
            continue;
        if (!any)
            fprintf(stream, "Usage: jmpctl %s COMMAND ...\n\nCommands:\n", word);
        any = true;
        fprintf(stream, "  %-22s %s\n", command->name, command->help);
    }
    if (any)
        fprintf(stream, "\n\"jmpctl %s COMMAND --help\" says more.\n", word);
    return any;
}

void jmp_command_overview(FILE *stream)
{
    fputs("Usage: jmpctl [OPTIONS] COMMAND ...\n"
          "       jmpctl [OPTIONS] DRIVER VERB ...\n"
          "\n"
          "Reserve a board of the lab, and use it.\n"
          "\n"
          "Commands:\n", stream);
    for (const struct jmp_command *command = jmp_commands; command->name; command++)
        if (!command->hidden && !group_of(command))
            fprintf(stream, "  %-15s %s\n", command->name, command->help);
    for (size_t i = 0; i < ELEMENTSOF(groups); i++)
        fprintf(stream, "  %-15s %s\n", groups[i].name, groups[i].help);
    fputs("\n"
          "Drivers, inside \"jmpctl shell\" or with --lease; \"jmpctl get drivers\" lists them:\n"
          "  power on        switch a board on; also off, cycle, read\n"
          "  serial console  talk to it; also pipe\n"
          "  net forward-tcp 2222\n"
          "                  reach its network on a local port\n"
          "  board power on  drivers inside others by path; also board.power\n"
          "\n"
          "Options:\n", stream);
    jmp_options_help(stream, jmp_global_options, WIDTH);
    fputs("\n\"jmpctl COMMAND --help\" and \"jmpctl DRIVER --help\" say more.\n", stream);
}

/* Dashes that are typed, not hyphens; a dot or quote at the start of a line is no request. */
static void put_troff(FILE *stream, const char *text)
{
    bool start = true;

    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", stream);
        if (*text == '-')
            fputs("\\-", stream);
        else if (*text == '\\')
            fputs("\\e", stream);
        else
            fputc(*text, stream);
        start = *text == '\n';
    }
}

static void put_options(FILE *stream, const struct jmp_option *options)
{
    for (; options->key; options++) {
        char name[64];

        snprintf(name, sizeof(name), "--%s", options->key);
        for (char *c = name; *c; c++) {
            if (*c == '_')
                *c = '-';
        }
        fputs(".TP\n", stream);
        if (options->letter)
            fprintf(stream, "\\fB\\-%c\\fR, ", options->letter);
        fputs("\\fB", stream);
        put_troff(stream, name);
        fputs("\\fR", stream);
        if (options->type != JMP_BOOL)
            fprintf(stream, " \\fI%s\\fR", options->value_name ? options->value_name : "VALUE");
        fputc('\n', stream);
        put_troff(stream, options->help);
        if (options->words) {
            fputs(": ", stream);
            for (const char *const *word = options->words; *word; word++)
                fprintf(stream, "%s%s", word == options->words ? "" : ", ", *word);
        }
        if (options->preset && options->type != JMP_BOOL) {
            fputs(" (default: ", stream);
            put_troff(stream, options->preset);
            fputc(')', stream);
        }
        fputs(".\n", stream);
    }
}

void jmp_command_manual(FILE *stream)
{
    fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
          ".\\\" Written by \"jmpctl manual\" from the table of commands.\n"
          ".TH JMPCTL 1\n"
          ".SH NAME\njmpctl \\- reserve a board of a Jumpstarter lab, and use it\n"
          ".SH SYNOPSIS\n"
          ".B jmpctl\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR ...\n.br\n"
          ".B jmpctl\n[\\fIOPTIONS\\fR] \\fIDRIVER VERB\\fR ...\n"
          ".SH DESCRIPTION\n"
          ".B jmpctl\nlists the boards of a lab, reserves them, and works with the drivers of the board that a lease "
          "holds.\n"
          "It reads the same client configuration as the stock\n.BR jmp ,\nand inside its shell the stock\n.B j\nworks "
          "as well.\n"
          ".SH OPTIONS\nThese come before the command; commands that need them take them as their own options too.\n",
          stream);
    put_options(stream, jmp_global_options);
    fputs(".SH COMMANDS\n", stream);
    for (const struct jmp_command *command = jmp_commands; command->name; command++) {
        if (command->hidden)
            continue;
        fprintf(stream, ".SS jmpctl %s [OPTIONS]%s", command->name, command->words ? " " : "");
        if (command->words)
            put_troff(stream, command->words);
        fprintf(stream, "\n%c%s.\n", command->help[0] - ('a' <= command->help[0] && command->help[0] <= 'z' ? 32 : 0),
                command->help + 1);
        if (command->details) {
            fputs(".PP\n.nf\n", stream);
            put_troff(stream, command->details);
            fputs("\n.fi\n", stream);
        }
        put_options(stream, command->options);
    }
    fputs(".SH DRIVERS\n"
          "A driver is named as the exporter names it; one inside another by its path, as words or with dots.\n"
          "What it can do depends on its kind; \\fBjmpctl get drivers\\fR lists it. Every driver takes\n"
          "\\fBcall\\fR \\fIMETHOD\\fR [\\fIARGUMENT\\fR...] and \\fBstream\\fR \\fIMETHOD\\fR [\\fIARGUMENT\\fR...], "
          "with arguments as JSON\n"
          "(what is no JSON is a string).\n"
          ".PP\n"
          "A driver is looked for in the exporter of \\fB\\-\\-tls\\-grpc\\fR, \\fB\\-\\-lease\\fR, "
          "\\fB$JUMPSTARTER_HOST\\fR (set inside\n"
          "\\fBjmpctl shell\\fR) or \\fB$JMP_LEASE\\fR, the first of these that is given.\n"
          ".SH ENVIRONMENT\n"
          ".TP\n.B JMP_LEASE\nthe lease to use\n"
          ".TP\n.B JUMPSTARTER_HOST\nthe exporter's socket, or HOST:PORT\n"
          ".TP\n.BR JMP_GRPC_INSECURE ,\\  JMP_GRPC_PASSPHRASE\nhow to reach an exporter at HOST:PORT\n"
          ".TP\n.BR JMP_NAMESPACE ,\\  JMP_NAME ,\\  JMP_ENDPOINT ,\\  JMP_TOKEN\na client configuration, instead of a "
          "file\n"
          ".TP\n.B JMP_CLIENT_CONFIG_HOME\nwhere client configurations are\n"
          ".SH EXIT STATUS\n"
          "0 on success, 1 on errors, 2 for a wrong command line and after Ctrl\\-C. \\fBjmpctl shell\\fR ends with "
          "the code of its\n"
          "command.\n",
          stream);
}
