/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the reference manuals, while the programs are built: jmp-manual TEMPLATE PAGE writes PAGE, which is TEMPLATE
 * with the lines
 *     .\" @drivers@     replaced by all drivers built in, their options and methods,
 *     .\" @sections@    by the keys of an exporter's file,
 * from the same rows that read them. Exit status: 0, 1 failed, 2 usage.
 */
#include <stdio.h>
#include <string.h>

#include "config/exporter_config.h"
#include "drivers/registry.h"

/* Text that troff prints as it is. */
static void put_text(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
}

/* Help lines begin small; what is a word of the file itself ("true: ...", "sim-board ...") stays as it is written
 * there. */
static void put_sentence(const char *text)
{
    size_t length = strlen(text), word = strspn(text, "abcdefghijklmnopqrstuvwxyz");

    if (word > 0 && (text[word] == ' ' || text[word] == ',' || !text[word]))
        putchar(*text++ - 'a' + 'A');
    put_text(text);
    puts(length > 0 && text[strlen(text) - 1] == '.' ? "" : ".");
}

static void put_kind(const struct jmp_option *option)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        return;
    jmp_option_put_kind(stream, option);
    if (fclose(stream) == 0)
        put_text(text);
}

static void put_option(const struct jmp_option *option)
{
    puts(".TP");
    fputs("\\fB", stdout);
    put_text(option->key);
    fputs("\\fR", stdout);
    if (option->type != JMP_NODE) { /* of those the help says more */
        fputs(", ", stdout);
        put_kind(option);
        fputs(option->nullable ? " or null" : "", stdout);
    }
    if (option->required) {
        fputs("; required", stdout);
    } else if (option->preset && *option->preset) {
        fputs("; default \\fB", stdout);
        put_text(option->preset);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    if (option->help)
        put_sentence(option->help);
}

static void put_method(const struct jmp_method *method)
{
    puts(".TP");
    fputs("\\fB", stdout);
    put_text(method->name);
    fputs("\\fR(", stdout);
    for (size_t i = 0; i < ELEMENTSOF(method->args) && method->args[i].name; i++) {
        fputs(i ? ", \\fI" : "\\fI", stdout);
        put_text(method->args[i].name);
        fputs(method->args[i].optional ? "\\fR?" : "\\fR", stdout);
    }
    puts(method->call ? ")" : method->items ? "): a stream of values" : "): a stream of bytes");
    if (method->help)
        put_sentence(method->help);
}

static void put_driver(const struct jmp_driver_class *driver)
{
    fputs(".SS ", stdout);
    put_text(driver->name);
    putchar('\n');
    put_sentence(driver->help);
    if (driver->python_type) {
        fputs("Stock class\n.BR ", stdout);
        put_text(driver->python_type);
        puts(" ;");
    }
    fputs(driver->python_type ? "client\n.BR " : "Client\n.BR ", stdout);
    put_text(driver->client);
    puts(" .");

    for (const struct jmp_child *child = driver->children; child && child->name; child++) {
        puts(child == driver->children ? ".PP\nChildren that it brings along:" : ".br");
        fputs(".B ", stdout);
        put_text(child->name);
        fputs("\n\\- ", stdout);
        put_sentence(child->driver->help ?: child->driver->name);
    }
    if (driver->options && driver->options->key)
        puts(".PP\n.I Options");
    for (const struct jmp_option *option = driver->options; option && option->key; option++)
        put_option(option);
    if (driver->methods && driver->methods->name)
        puts(".PP\n.I Methods");
    for (const struct jmp_method *method = driver->methods; method && method->name; method++)
        put_method(method);
}

static void put_drivers(void)
{
    for (const struct jmp_driver_class *const *driver = jmp_builtin_drivers; *driver; driver++)
        put_driver(*driver);
}

static void put_sections(void)
{
    for (const struct jmp_config_section *section = jmp_exporter_config_sections; section->path; section++) {
        fputs(".SS ", stdout);
        put_text(section->title);
        if (*section->path) {
            fputs(": ", stdout);
            put_text(section->path);
        }
        putchar('\n');
        for (const struct jmp_option *option = section->options; option->key; option++) {
            if (option->help || option->words)
                put_option(option);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *line;
        void (*put)(void);
    } parts[] = {
        { ".\\\" @drivers@\n", put_drivers },
        { ".\\\" @sections@\n", put_sections },
    };
    _cleanup_fclose_ FILE *template = NULL;
    char line[1024];

    if (argc != 3) {
        fputs("usage: jmp-manual TEMPLATE PAGE\n", stderr);
        return 2;
    }
    template = fopen(argv[1], "re");
    if (!template) {
        fprintf(stderr, "jmp-manual: %s: %m\n", argv[1]);
        return 1;
    }
    if (!freopen(argv[2], "we", stdout)) {
        fprintf(stderr, "jmp-manual: %s: %m\n", argv[2]);
        return 1;
    }
    while (fgets(line, sizeof(line), template)) {
        size_t i = 0;

        while (i < ELEMENTSOF(parts) && strcmp(line, parts[i].line) != 0)
            i++;
        if (i < ELEMENTSOF(parts))
            parts[i].put();
        else
            fputs(line, stdout);
    }
    if (ferror(template) || fflush(stdout) != 0) {
        fprintf(stderr, "jmp-manual: %s: %m\n", argv[2]);
        return 1;
    }
    return 0;
}
