# Installs what is built into $(DESTDIR)$(PREFIX), and takes it away again.

INSTALL ?= install
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DEBUGDIR ?= $(PREFIX)/lib/debug

.PHONY: install install-lib install-tool install-debug uninstall
install: install-lib install-tool  ## library, header, shell tool and man pages, under PREFIX (and DESTDIR)

install-lib: all
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -d $(DESTDIR)$(MANDIR)/man3 $(DESTDIR)$(MANDIR)/man7
	$(INSTALL) -m 755 $(BUILD)/$(SONAME) $(DESTDIR)$(LIBDIR)/libsendfd.so.$(VERSION)
	ln -sf libsendfd.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libsendfd.so
	$(INSTALL) -m 644 $(BUILD)/libsendfd.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 644 include/sendfd.h $(DESTDIR)$(INCLUDEDIR)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
	  -e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' -e 's|@VERSION@|$(VERSION)|' \
	  pkgconfig/sendfd.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/sendfd.pc
	$(INSTALL) -m 644 man/*.3 $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 man/*.7 $(DESTDIR)$(MANDIR)/man7

install-tool: cli
	$(INSTALL) -d $(addprefix $(DESTDIR),$(BINDIR) $(MANDIR)/man1 $(BASHDIR) $(ZSHDIR) $(FISHDIR))
	$(INSTALL) -m 755 $(BUILD)/cli/sendfd $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 $(BUILD)/cli/sendfd.1 $(DESTDIR)$(MANDIR)/man1
	$(INSTALL) -m 644 $(BUILD)/cli/sendfd.bash $(DESTDIR)$(BASHDIR)/sendfd
	$(INSTALL) -m 644 $(BUILD)/cli/_sendfd $(DESTDIR)$(ZSHDIR)
	$(INSTALL) -m 644 $(BUILD)/cli/sendfd.fish $(DESTDIR)$(FISHDIR)

install-debug: all  ## what a debugger wants to know of the library, where gdb looks for it
	$(INSTALL) -d $(DESTDIR)$(DEBUGDIR)$(LIBDIR)
	$(INSTALL) -m 644 $(BUILD)/$(SONAME).debug $(DESTDIR)$(DEBUGDIR)$(LIBDIR)

uninstall:  ## takes away what install and install-debug put there; the folders stay
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libsendfd.so.$(VERSION) $(SONAME) libsendfd.so libsendfd.a \
	  pkgconfig/sendfd.pc) $(DESTDIR)$(INCLUDEDIR)/sendfd.h $(DESTDIR)$(DEBUGDIR)$(LIBDIR)/$(SONAME).debug
	rm -f $(DESTDIR)$(BINDIR)/sendfd $(DESTDIR)$(MANDIR)/man1/sendfd.1 $(DESTDIR)$(BASHDIR)/sendfd \
	  $(DESTDIR)$(ZSHDIR)/_sendfd $(DESTDIR)$(FISHDIR)/sendfd.fish
	rm -f $(patsubst man/%.3,$(DESTDIR)$(MANDIR)/man3/%.3,$(wildcard man/*.3)) \
	  $(patsubst man/%.7,$(DESTDIR)$(MANDIR)/man7/%.7,$(wildcard man/*.7))
