# shoal: make (build), make check (tests), make demo (see it work); make help lists the rest.
VERSION := 0.1.0
B ?= build
PREFIX ?= /usr/local
CC ?= cc
CFLAGS ?= -O2 -g
ifdef CI
WERROR := -Werror
endif
LUA_CFLAGS := $(shell pkg-config --cflags lua5.4 2>/dev/null || echo -I/usr/include/lua5.4)
LUA_LIBS := $(shell pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4)
override CFLAGS += -std=gnu11 -D_GNU_SOURCE -DSHOAL_VERSION='"$(VERSION)"' -DOPENSSL_SUPPRESS_DEPRECATED \
	-I. -I$(B)/gen $(LUA_CFLAGS) -MMD -MP -pthread -fPIE -fstack-protector-strong \
	-Wall -Wextra -Wshadow -Wvla -Wundef -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
	-Wimplicit-fallthrough -Wno-missing-field-initializers $(WERROR)
override LDFLAGS += -pthread -pie -Wl,-z,relro,-z,now,-z,noexecstack

# Hardening, as far as this compiler and this machine know it; tests/hardening.sh looks at what came of it.
takes = $(shell printf '$(2)\n' | $(CC) -O2 -Werror $(1) -x c -c -o /dev/null - 2>/dev/null && echo $(1))
ifeq ($(origin HARDEN), undefined)
HARDEN := $(call takes,-fcf-protection=full) $(call takes,-mbranch-protection=standard) \
	$(call takes,-fstack-clash-protection)
FORTIFY := $(if $(call takes,-D_FORTIFY_SOURCE=3,\043include <features.h>\n\043if __USE_FORTIFY_LEVEL < 3\n\043error\n\043endif),3,2)
export HARDEN FORTIFY
endif
ifdef SAN
override CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
override LDFLAGS += -fsanitize=$(SAN)
else
override CFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(FORTIFY) $(HARDEN)
endif

# What each floor may use: its own library and those below (DESIGN: imports only downwards).
below.base     := base
below.wire     := wire base
below.net      := net wire base
below.piece    := piece wire base
below.registry := registry wire base
below.swarm    := swarm piece wire base
below.sync     := sync registry wire base
below.tracker  := tracker sync registry net wire base
below.client   := client swarm piece net wire base
below.sim      := tracker sync registry client net wire base
below.sim_trackers := sync registry wire base
LIBS.tracker := -lssl -levent_core -levent_extra -levent_pthreads -lsqlite3 -ljansson -lcrypto -lm
LIBS.client  := -lssl -levent_core -levent_extra -levent_pthreads -lsqlite3 -ljansson -lreadline $(LUA_LIBS) -lcrypto -lm
LIBS.all     := $(LIBS.client)

FLOORS := base wire net piece registry swarm sync
CORE_SRC := $(wildcard core/*/*.c)
TRACKER_SRC := $(wildcard tracker/*.c)
CLIENT_SRC := $(wildcard client/*.c)
# Programs are a main.c and a library of the rest, so that tests can link the rest.
obj = $(patsubst %.c,$(B)/%.o,$(1))
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_TESTS := $(patsubst %.c,$(B)/%,$(UNIT_SRC))
SIM_TESTS := $(patsubst %.c,$(B)/%,$(wildcard tests/sim/sim_*.c))
SCENARIOS := $(sort $(wildcard tests/scenario/*.lua))
# Trackers with wrong clocks and slow disks, for tests/chaos. A sanitizer must be loaded first, so there are none with it.
SKEW := $(if $(SAN),,$(B)/tests/chaos/skew.so $(B)/tests/chaos/flush.so)
BENCH := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))

# One short line a file; make V=1 shows the commands.
ifndef V
Q := @
say = @printf '%-5s %s\n' $(1) $@
endif

all: $(B)/shoal $(B)/shoal-tracker

help:
	@echo 'make            build $(B)/shoal and $(B)/shoal-tracker (installs nothing)'
	@echo 'make demo       two trackers, three clients, one tracker killed: the main job on real files (FILE=/path for yours)'
	@echo 'make check      unit tests, simulation, scenarios'
	@echo 'make check-asan, check-tsan   the same with the address+undefined or the thread sanitizer'
	@echo 'make bench      measure a 1 GiB transfer against a bare sendfile/recv/SHA-256/write program, and the tracker'
	@echo 'make bench-tracker   the tracker alone, against a bare echo and a bare SQLite loop (FULL=1: 10,000 clients)'
	@echo 'make fuzz T=60  run each fuzz target for T seconds (needs clang); FUZZ=link: only that one'
	@echo 'make fuzz-planted T=60   the same with a bug planted for each target: all must be found'
	@echo 'make mutants    plant bugs, one at a time: the simulations must find each'
	@echo 'make chaos-mutants  the same bugs in real trackers: which of them does chaos find? CHAOS_MUTANTS=name CHAOS_SEEDS=5'
	@echo 'make soak T=600 the simulations on fresh seeds for T seconds, a sixth of it chaos; make chaos T=600: only that'
	@echo 'make reference  docs/api.md, manual pages and files for editors, from the table of commands'
	@echo 'make lint       clang-tidy, shellcheck, luac -p, as far as they are installed'
	@echo 'make deps       install what is missing to build and test (apt-get)'
	@echo 'make V=1         show every command'
	@echo 'make install PREFIX=/usr/local, make clean'

deps:
	@scripts/deps.sh

define floor_lib
$(B)/lib$(1).a: $(call obj,$(wildcard core/$(1)/*.c))
endef
$(foreach f,$(FLOORS),$(eval $(call floor_lib,$(f))))
$(B)/libtracker.a: $(call obj,$(filter-out tracker/main.c,$(TRACKER_SRC)))
$(B)/libclient.a: $(call obj,$(filter-out client/main.c,$(CLIENT_SRC)))

$(B)/lib%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

# lua/ is embedded into the client: one C file of byte arrays, made from the files in lua/shoal/.
LUA_SRC := $(sort $(wildcard lua/shoal/*.lua))
$(B)/gen/lua_embedded.h: $(LUA_SRC) scripts/embed-lua.sh
	@mkdir -p $(@D)
	$(call say,LUA)
	$(Q)scripts/embed-lua.sh $(LUA_SRC) > $@.tmp
	@mv $@.tmp $@
$(call obj,$(CLIENT_SRC)): | $(B)/gen/lua_embedded.h

$(B)/shoal: $(B)/client/main.o $(foreach f,$(below.client),$(B)/lib$(f).a)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS.client) -o $@
$(B)/shoal-tracker: $(B)/tracker/main.o $(foreach f,$(below.tracker),$(B)/lib$(f).a)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS.tracker) -o $@

# A unit test links its own floor and those below: a call upwards does not link.
.SECONDEXPANSION:
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/tests/unit/check.o $$(foreach f,$$(below.$$(firstword $$(subst /, ,$$*))),$(B)/lib$$f.a)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -lcmocka $(LIBS.all) -o $@
# These stand between the program and the C library (tests/unit/power.h).
$(filter %/test_power_cut,$(UNIT_TESTS)): $(B)/tests/unit/power.o
$(B)/libsim.a: $(call obj,$(filter-out tests/sim/sim_%,$(wildcard tests/sim/*.c)))
$(B)/tests/sim/%: $(B)/tests/sim/%.o $(B)/libsim.a $$(foreach f,$$(or $$(below.$$*),$(below.sim)),$(B)/lib$$f.a)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS.all) -o $@
# The simulations with each of the bugs of core/base/planted.h: only the file where it is planted is compiled anew.
planted = $(shell sed -n '/^\#define $(1)(X)/,/^$$/s/^\tX(\([a-z_]*\)).*/\1/p' core/base/planted.h)
MUTANTS := $(call planted,MUTANTS)
WHOLE_MUTANTS := $(call planted,WHOLE_MUTANTS)
PLANTED := $(MUTANTS:%=$(B)/mutants/%/sim_trackers) $(WHOLE_MUTANTS:%=$(B)/mutants/%/sim_clients)
MUTANT_SEEDS ?= 2000
SIM_CORE := $(B)/tests/sim/sim_trackers.o $(B)/libsim.a $(foreach f,$(below.sim_trackers),$(B)/lib$(f).a)
SIM_WHOLE := $(B)/tests/sim/sim_clients.o $(B)/libsim.a $(foreach f,$(below.sim),$(B)/lib$(f).a)
define plant
	@mkdir -p $(@D)
	@rm -f $(@D)/*.o
	$(call say,LINK)
	$(Q)for f in $$(grep -l 'PLANTED($*)' core/*/*.c tracker/*.c); do \
		$(CC) $(CFLAGS) -DMUTANT=MUTANT_$* -c $$f -o $(@D)/$$(basename $$f .c).o || exit 1; done
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(@D)/*.o $(1) $(2) -o $@
endef
$(B)/mutants/%/sim_trackers: $(SIM_CORE)
	$(call plant,$(SIM_CORE),-lcrypto)
$(B)/mutants/%/sim_clients: $(SIM_WHOLE)
	$(call plant,$(SIM_WHOLE),$(LIBS.all))
mutants: $(PLANTED)
	tests/mutants.sh $(MUTANT_SEEDS) $^
# Fresh seeds for T seconds; prints what ran.
soak: all $(SKEW) $(B)/tests/chaos/shoal-tracker $(SIM_TESTS) $(PLANTED)
	tests/soak.sh $(T) $(B)
chaos: all $(SKEW) $(B)/tests/chaos/shoal-tracker
	tests/chaos/soak.sh $(T) $(B)
# A tracker for tests/chaos: its log is cut after seconds, so that snapshots are sent; one with each of the planted bugs.
build_chaos = for f in $$(grep -lE 'SYNC_KEEP_LOG_MS|SYNC_CUT_MS$(1)' core/*/*.c); do \
		$(CC) $(CFLAGS) -DSYNC_LOG_KEPT_S=4 $(2) -c $$f -o $@.$$(basename $$f .c).o || exit 1; done; \
	$(CC) $(CFLAGS) $(LDFLAGS) $@.*.o $(B)/tracker/main.o $(foreach f,$(below.tracker),$(B)/lib$(f).a) $(LIBS.tracker) -o $@
CHAOS_MUTANTS ?= $(MUTANTS)
$(B)/tests/chaos/shoal-tracker: $(B)/shoal-tracker
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(call build_chaos,,)
$(B)/chaos-mutants/%/shoal-tracker: $(B)/shoal-tracker
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(call build_chaos,|PLANTED\($*\),-DMUTANT=MUTANT_$*)
CHAOS_SEEDS ?= 5
chaos-mutants: all $(SKEW) $(CHAOS_MUTANTS:%=$(B)/chaos-mutants/%/shoal-tracker)
	tests/chaos/mutants.sh $(CHAOS_SEEDS) $(B) $(CHAOS_MUTANTS)

BENCH_LOAD := $(call obj,$(wildcard tests/bench/load/*.c))
$(B)/tests/bench/tracker_%: $(B)/tests/bench/tracker_%.o $(BENCH_LOAD) $(foreach f,$(below.tracker),$(B)/lib$(f).a)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS.tracker) -o $@
$(B)/tests/bench/client_%: $(B)/tests/bench/client_%.o $(BENCH_LOAD) $(foreach f,$(below.client),$(B)/lib$(f).a)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS.client) -o $@
$(B)/tests/bench/%: $(B)/tests/bench/%.o
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -lcrypto -lm -o $@

$(B)/tests/chaos/skew.so: tests/chaos/skew.c
$(B)/tests/chaos/flush.so: tests/bench/preload/flush.c
$(B)/tests/chaos/%.so:
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(filter-out -fPIE,$(CFLAGS)) -fPIC -shared $< -o $@

# Somebody who means no good, for tests/scenario/adversary.lua: nothing of ours is linked.
ADVERSARY := $(B)/tests/adversary/adversary
$(ADVERSARY): $(call obj,$(wildcard tests/adversary/*.c))
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -lssl -lcrypto -o $@

unit: $(UNIT_TESTS)
	tests/run.sh $(UNIT_TESTS)

check: deps
	@$(MAKE) --no-print-directory check-nodeps
check-nodeps: all $(UNIT_TESTS) $(SIM_TESTS) $(ADVERSARY)
	tests/run.sh $(SCENARIOS) $(SIM_TESTS) $(UNIT_TESTS) $(if $(SAN),,tests/hardening.sh tests/install.sh)
check-asan:
	$(MAKE) check-nodeps B=build/asan SAN=address,undefined
check-tsan:
	$(MAKE) check-nodeps B=build/tsan SAN=thread
unit-asan:
	$(MAKE) unit B=build/asan SAN=address,undefined

demo: deps
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh $(FILE)
bench: all $(BENCH)
	@B=$(B) CASES='$(CASES)' tests/bench/run.sh; one=$$?; \
	$(if $(CASES),exit $$one,B=$(B) tests/bench/tracker.sh; two=$$?; exit $$((one > two ? one : two)))
bench-peers:
	PACKAGES='aria2 python3-libtorrent transmission-daemon nginx-light curl iproute2 openssl' scripts/deps.sh
bench-tracker: all $(BENCH)
	B=$(B) tests/bench/tracker.sh
# Clients that lose their tracker: CLIENTS=10000 needs as many descriptors.
CLIENTS ?= 2000
bench-move: all $(BENCH)
	B=$(B) tests/bench/move.sh $(CLIENTS)

# libFuzzer needs clang: everything is built once more with it, with warnings left to the real build. FUZZ=link: only
# that target. After T seconds a target there is what it did in build/fuzz/*.log.
FUZZ ?= *
FUZZ_CC ?= clang
FUZZERS := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_$(FUZZ).c))
T ?= 60
fuzz:
	@$(MAKE) --no-print-directory B=$(B)/fuzz CC='$(FUZZ_CC)' CFLAGS='-O1 -g -w' SAN=address,undefined,fuzzer-no-link fuzz-run
fuzz-build: $(FUZZERS)
fuzz-run: fuzz-build
	tests/fuzz/run.sh $(T) $(FUZZERS)
fuzz-seeds: $(B)/tests/fuzz/seeds
	$< tests/fuzz/corpus
below.fuzz := client tracker swarm sync piece registry net wire base
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/fuzz.o $(foreach f,$(below.fuzz),$(B)/lib$(f).a)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(if $(filter fuzz_%,$*),-fsanitize=fuzzer) $^ $(LIBS.all) -o $@

# docs/api.md, the manual pages and the files for editors, from the table of commands; a scenario sees that they are fresh.
reference: $(B)/shoal
	$< --test scripts/reference.lua -- docs

# Each target with a bug that it must find within T seconds (core/base/planted.h; two are the simulation's).
FUZZ_PLANTED := rows@acc_last snapshot@partial_rows \
	$(shell sed -n '/^\#define FUZZ_MUTANTS(X)/,/^$$/s,^\tX(\([a-z_]*\)) */\* \([a-z_]*\):.*,\2@\1,p' core/base/planted.h)
fuzz-planted:
	@$(MAKE) --no-print-directory B=$(B)/fuzz CC='$(FUZZ_CC)' CFLAGS='-O1 -g -w' SAN=address,undefined,fuzzer-no-link fuzz-planted-run
fuzz-planted-run: $(FUZZ_PLANTED:%=$(B)/tests/fuzz/planted/%)
	tests/fuzz/planted.sh $(T) $^
$(B)/tests/fuzz/planted/%: $(B)/tests/fuzz/fuzz_$$(firstword $$(subst @, ,$$*))
	@mkdir -p $@.objects
	$(call say,LINK)
	$(Q)for f in $$(grep -l 'PLANTED($(lastword $(subst @, ,$*)))' core/*/*.c tracker/*.c client/*.c); do \
		$(CC) $(CFLAGS) -DMUTANT=MUTANT_$(lastword $(subst @, ,$*)) -c $$f -o $@.objects/$$(basename $$f .c).o || exit 1; done
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer $@.objects/*.o $<.o $(B)/tests/fuzz/fuzz.o \
		$(foreach f,$(below.fuzz),$(B)/lib$(f).a) $(LIBS.all) -o $@

lint:
	scripts/lint.sh

# UNITDIR: where systemd looks for units of the administrator; empty: none is installed.
UNITDIR ?= $(PREFIX)/lib/systemd/system
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/shoal
	install -m 755 $(B)/shoal $(B)/shoal-tracker $(DESTDIR)$(PREFIX)/bin
	install -m 644 README.md $(wildcard docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/shoal
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man3 $(DESTDIR)$(PREFIX)/share/shoal
	install -m 644 docs/man/shoal.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/shoal-api.3 $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 docs/editor/shoal.d.lua docs/editor/shoal.luacheck.lua $(DESTDIR)$(PREFIX)/share/shoal
ifneq ($(UNITDIR),)
	install -d $(DESTDIR)$(UNITDIR)
	sed 's|@PREFIX@|$(PREFIX)|g' scripts/shoal-tracker@.service.in > $(B)/shoal-tracker@.service
	install -m 644 $(B)/shoal-tracker@.service $(DESTDIR)$(UNITDIR)
endif

clean:
	rm -rf $(B)

.PHONY: mutants soak chaos chaos-mutants all help deps unit unit-asan check check-nodeps check-asan check-tsan demo bench bench-tracker bench-move fuzz fuzz-build fuzz-run fuzz-seeds fuzz-planted fuzz-planted-run reference lint install clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
