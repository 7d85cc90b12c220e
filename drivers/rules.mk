# The screen's font comes from a console font of the build machine (packages console-setup-linux, kbd).
FONT ?= /usr/share/consolefonts/Uni2-VGA16.psf.gz /usr/share/consolefonts/Lat2-VGA16.psf.gz /usr/share/consolefonts/lat0-16.psfu.gz

$(BUILD)/font.c: tools/font.py drivers/rules.mk
	@mkdir -p $(@D)
	$(PYTHON) tools/font.py $@ $(FONT)

$(BUILD)/font.o: $(BUILD)/font.c drivers/font.h
	$(CC) $(HV_CFLAGS) -c $< -o $@
