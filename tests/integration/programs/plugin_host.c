// plugin_host PLUGIN: loads it privately and calls its use_plugin().
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  void* const plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  void (*const use)(void) = plugin != NULL ? (void (*)(void))dlsym(plugin, "use_plugin") : NULL;
  if (use == NULL)
    return 1;
  use();
  return 0;
}
