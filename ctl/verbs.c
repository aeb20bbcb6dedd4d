/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/verbs.h"

#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "ctl/verb_run.h"

enum {
    POWER = 1 << 0,
    VIRTUAL = 1 << 1,      /* a power whose off takes an argument */
    STATUS = 1 << 2,
    SERIAL = 1 << 3,
    NETWORK = 1 << 4,
    MUX = 1 << 5,
    MUX_FLASHER = 1 << 6,
    FLASHER = 1 << 7,
    OUTPUT = 1 << 8,
    INPUT = 1 << 9,
    PICO = 1 << 10,
    STLINK = 1 << 11,
    ANY = 1 << 12,         /* every driver */
};

/* Client classes by their full name: that is all an exporter says about what a driver is. */
static const struct {
    const char *class;
    unsigned families;
} classes[] = {
    { "jumpstarter_driver_power.client.PowerClient", POWER },
    { "jumpstarter_driver_power.client.VirtualPowerClient", VIRTUAL },
    { "jumpstarter_driver_noyito_relay.client.NoyitoPowerClient", POWER | STATUS },
    { "jumpstarter_driver_pyserial.client.PySerialClient", SERIAL },
    { "jumpstarter_driver_ble.client.BleWriteNotifyStreamClient", SERIAL },
    { "jumpstarter_driver_network.client.NetworkClient", NETWORK },
    { "jumpstarter_driver_network.client.DbusNetworkClient", NETWORK },
    { "jumpstarter_driver_opendal.client.StorageMuxClient", MUX },
    { "jumpstarter_driver_opendal.client.StorageMuxFlasherClient", MUX | MUX_FLASHER },
    { "jumpstarter_driver_opendal.client.FlasherClient", FLASHER },
    { "jumpstarter.client.flasher.FlasherClient", FLASHER },
    { "jumpstarter_driver_esp32.client.Esp32FlasherClient", FLASHER },
    { "jumpstarter_driver_pi_pico.client.PiPicoClient", PICO },
    { "jumpstarter_driver_stlink_msd.client.StlinkMsdFlasherClient", STLINK },
    { "jumpstarter_driver_gpiod.client.DigitalOutputClient", OUTPUT },
    { "jumpstarter_driver_gpiod.client.DigitalInputClient", INPUT },
};

/* The second part of a class name that is not listed says enough when it is one of these. */
static const struct {
    const char *name;
    unsigned families;
} kinds[] = {
    { "PowerClient", POWER },
    { "PySerialClient", SERIAL },
    { "NetworkClient", NETWORK },
    { "StorageMuxClient", MUX },
    { "StorageMuxFlasherClient", MUX | MUX_FLASHER },
    { "FlasherClient", FLASHER },
};

#define PLAIN .options = jmp_verb_plain_options, .size = sizeof(struct jmp_verb_plain)
#define CALL .run = jmp_verb_call_plain, PLAIN

const struct jmp_verb jmp_verbs[] = {
    { POWER | VIRTUAL, .name = "on", .help = "power on", CALL },
    { POWER, .name = "off", .help = "power off", CALL },
    { VIRTUAL, .name = "off", .help = "power off", .run = jmp_verb_off, .options = jmp_verb_off_options,
      .size = sizeof(struct jmp_verb_off) },
    { POWER | VIRTUAL | OUTPUT, .name = "cycle", .help = "off, wait, on", .run = jmp_verb_cycle,
      .options = jmp_verb_cycle_options, .size = sizeof(struct jmp_verb_cycle) },
    { POWER | VIRTUAL, .name = "read", .help = "measure voltage and current", .run = jmp_verb_read,
      .options = jmp_verb_read_options, .size = sizeof(struct jmp_verb_read) },
    { POWER, .name = "rescue", .help = "power on into rescue mode, where the hardware has one", CALL },
    { STATUS, .name = "status", .help = "say how it is switched", .run = jmp_verb_show, PLAIN },
    { OUTPUT, .name = "on", .help = "set the line active", CALL },
    { OUTPUT, .name = "off", .help = "set the line inactive", CALL },
    { OUTPUT | INPUT, .name = "read", .help = "say whether the line is active", .run = jmp_verb_read_pin, PLAIN },
    { INPUT, .name = "wait-for-active", .help = "wait until the line is active", .run = jmp_verb_wait_pin,
      .options = jmp_verb_wait_options, .size = sizeof(struct jmp_verb_wait) },
    { INPUT, .name = "wait-for-inactive", .help = "wait until the line is inactive", .run = jmp_verb_wait_pin,
      .options = jmp_verb_wait_options, .size = sizeof(struct jmp_verb_wait) },
    { INPUT, .name = "wait-for-edge", .help = "wait for a change of the line", .words = "rising|falling", .least = 1,
      .most = 1, .run = jmp_verb_wait_pin, .options = jmp_verb_wait_options, .size = sizeof(struct jmp_verb_wait) },
    { SERIAL, .name = "console", .alias = "start-console", .help = "talk to it on this terminal",
      .run = jmp_verb_console, PLAIN },
    { SERIAL, .name = "pipe", .help = "show or save what it says; send standard input", .run = jmp_verb_pipe,
      .options = jmp_verb_pipe_options, .size = sizeof(struct jmp_verb_pipe) },
    { NETWORK | SERIAL, .name = "forward-tcp", .help = "listen on a local port; 0: a free one", .words = "PORT",
      .least = 1, .most = 1, .run = jmp_verb_forward_tcp, .options = jmp_verb_forward_options,
      .size = sizeof(struct jmp_verb_forward) },
    { NETWORK | SERIAL, .name = "forward-unix", .help = "listen on a local unix socket", .words = "[PATH]", .most = 1,
      .run = jmp_verb_forward_unix, PLAIN },
    { NETWORK, .name = "address", .help = "print where it can be reached directly", .run = jmp_verb_address,
      .options = jmp_verb_address_options, .size = sizeof(struct jmp_verb_address) },
    { NETWORK, .name = "connect", .help = "join one connection to standard input and output", .run = jmp_verb_connect,
      PLAIN },
    { MUX, .name = "host", .help = "connect the storage to the exporter's host", CALL },
    { MUX, .name = "dut", .help = "connect the storage to the board", CALL },
    { MUX, .name = "off", .help = "disconnect the storage", CALL },
    { MUX, .name = "write", .alias = "write-local-file", .help = "write FILE or URL to the storage", .words = "FILE",
      .least = 1, .most = 1, .run = jmp_verb_upload, .options = jmp_verb_file_options,
      .size = sizeof(struct jmp_verb_file) },
    { MUX, .name = "read", .alias = "read-local-file", .help = "read the storage into FILE or URL", .words = "FILE",
      .least = 1, .most = 1, .run = jmp_verb_download, .options = jmp_verb_file_options,
      .size = sizeof(struct jmp_verb_file) },
    { MUX_FLASHER, .name = "flash", .help = "to the host, write FILE or URL, to the board", .words = "FILE", .least = 1,
      .most = 1, .run = jmp_verb_mux_flash, .options = jmp_verb_file_options, .size = sizeof(struct jmp_verb_file) },
    { MUX_FLASHER, .name = "dump", .help = "to the host, read into FILE or URL, to the board", .words = "FILE",
      .least = 1, .most = 1, .run = jmp_verb_mux_dump, .options = jmp_verb_file_options,
      .size = sizeof(struct jmp_verb_file) },
    { FLASHER, .name = "flash", .help = "write FILE or URL, or several with --target", .words = "[FILE]", .most = 1,
      .run = jmp_verb_flash, .options = jmp_verb_flash_options, .size = sizeof(struct jmp_verb_flash) },
    { PICO, .name = "flash", .help = "program the board with the UF2 file FILE or URL", .words = "FILE", .least = 1,
      .most = 1, .run = jmp_verb_flash_pico, .options = jmp_verb_pico_options, .size = sizeof(struct jmp_verb_pico) },
    { STLINK, .name = "flash", .help = "program the board with FILE or URL, .bin or .hex", .words = "FILE", .least = 1,
      .most = 1, .run = jmp_verb_flash_named, .options = jmp_verb_file_options, .size = sizeof(struct jmp_verb_file) },
    { PICO, .name = "bootloader", .help = "take the board into its boot loader", .method = "enter_bootloader", CALL },
    { PICO, .name = "bootloader-info", .help = "what the boot loader says of the board", .method = "bootloader_info",
      .run = jmp_verb_show, PLAIN },
    { STLINK, .name = "info", .help = "what the ST-LINK says of itself", .run = jmp_verb_show, PLAIN },
    { FLASHER | PICO, .name = "dump", .help = "read into FILE or URL", .words = "FILE", .least = 1, .most = 1,
      .run = jmp_verb_dump, .options = jmp_verb_dump_options, .size = sizeof(struct jmp_verb_dump) },
    { ANY, .name = "call", .help = "call a method; arguments are JSON", .words = "METHOD [ARGUMENT...]", .least = 1,
      .most = UINT_MAX, .run = jmp_verb_call, PLAIN },
    { ANY, .name = "stream", .help = "call a method with many answers", .words = "METHOD [ARGUMENT...]", .least = 1,
      .most = UINT_MAX, .run = jmp_verb_stream, PLAIN },
    {}
};

unsigned jmp_verbs_of(const struct jmp_driver_ref *driver)
{
    const char *dot = strrchr(driver->client_class, '.');

    for (size_t i = 0; i < ELEMENTSOF(classes); i++) {
        if (strcmp(classes[i].class, driver->client_class) == 0)
            return classes[i].families | ANY;
    }
    for (size_t i = 0; dot && i < ELEMENTSOF(kinds); i++) {
        if (strcmp(kinds[i].name, dot + 1) == 0)
            return kinds[i].families | ANY;
    }
    return ANY;
}

int jmp_verb_find(const struct jmp_driver_ref *driver, const char *name, const struct jmp_verb **ret,
                  struct jmp_error *reterr)
{
    /* Of drivers inside, as many as this holds may be what was meant. */
    const char *names[ELEMENTSOF(jmp_verbs) + 64] = { 0 }, *near;
    unsigned families = jmp_verbs_of(driver);
    char list[200] = "";
    size_t n = 0, used = 0;

    for (const struct jmp_verb *verb = jmp_verbs; verb->name; verb++) {
        if (!(verb->families & families))
            continue;
        if (strcmp(verb->name, name) == 0 || (verb->alias && strcmp(verb->alias, name) == 0)) {
            *ret = verb;
            return 0;
        }
        names[n++] = verb->name;
        if (used < sizeof(list))
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", verb->name);
    }
    jmp_error_set(reterr, -ENOENT, "%s has no \"%.60s\"", driver->path, name);
    for (const struct jmp_driver_ref *child = driver->first; child && n + 1 < ELEMENTSOF(names); child = child->next)
        names[n++] = child->name;
    near = jmp_nearest(name, names);
    if (near)
        jmp_error_hint(reterr, "did you mean \"%s\"? There are %s", near, list);
    else
        jmp_error_hint(reterr, "there are %s", list);
    return -ENOENT;
}

const char *jmp_verb_help(const struct jmp_driver_ref *driver, const struct jmp_verb *verb)
{
    const char *own = jmp_pairs_get(&driver->methods, verb->name);

    if (!own && verb->alias)
        own = jmp_pairs_get(&driver->methods, verb->alias);
    return own ? own : verb->help;
}

void jmp_verbs_list(const struct jmp_driver_ref *driver, char *ret, size_t size)
{
    unsigned families = jmp_verbs_of(driver) & ~(unsigned)ANY;
    size_t used = 0;

    *ret = '\0';
    for (const struct jmp_verb *verb = jmp_verbs; verb->name && used < size; verb++) {
        if (verb->families & families)
            used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? " " : "", verb->name);
    }
}

/* The path in words, as it is typed. */
static void put_path(FILE *stream, const char *path)
{
    fputs("jmpctl ", stream);
    jmp_text_put(stream, path);
}

void jmp_verbs_print(FILE *stream, const struct jmp_driver_ref *driver)
{
    unsigned families = jmp_verbs_of(driver);

    fputs("Usage: ", stream);
    put_path(stream, driver->path);
    fputs(" VERB [OPTIONS] ...\n", stream);
    if (*driver->description) {
        fputc('\n', stream);
        jmp_text_put(stream, driver->description);
        fputc('\n', stream);
    }
    if (driver->first) {
        fputs("\nDrivers inside:\n", stream);
        for (const struct jmp_driver_ref *child = driver->first; child; child = child->next) {
            fputs("  ", stream);
            jmp_text_put(stream, child->name);
            if (*child->description) {
                fputs("  ", stream);
                jmp_text_put(stream, child->description);
            }
            fputc('\n', stream);
        }
    }
    fputs("\nVerbs:\n", stream);
    for (const struct jmp_verb *verb = jmp_verbs; verb->name; verb++) {
        if (!(verb->families & families))
            continue;
        fprintf(stream, "  %-18s", verb->name);
        jmp_text_put(stream, jmp_verb_help(driver, verb));
        fputc('\n', stream);
    }
}

void jmp_verb_print(FILE *stream, const struct jmp_driver_ref *driver, const struct jmp_verb *verb)
{
    fputs("Usage: ", stream);
    put_path(stream, driver->path);
    fprintf(stream, " %s [OPTIONS]%s%s\n\n", verb->name, verb->words ? " " : "", verb->words ? verb->words : "");
    jmp_text_put(stream, jmp_verb_help(driver, verb));
    fputs("\n\nOptions:\n", stream);
    jmp_options_help(stream, verb->options, 100);
}

void jmp_number_print(double number, char *ret, size_t size)
{
    int digits = 1, exponent;

    for (; digits <= 17; digits++) {
        snprintf(ret, size, "%.*e", digits - 1, number);
        if (strtod(ret, NULL) == number)
            break;
    }
    if (!strchr(ret, 'e'))
        return;   /* inf, nan */
    exponent = (int)strtol(strchr(ret, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16)
        return;
    snprintf(ret, size, "%.*f", digits - 1 > exponent ? digits - 1 - exponent : 1, number);
}
