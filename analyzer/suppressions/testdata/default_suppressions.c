// __lsan_default_suppressions as programs write it, in the form that FORM says. Read, never run, by the test.
static const char kText[] = "leak:known_one\n# why\nleak:^libknown\n";
const char* g_pointer = kText;
const char g_array[] = "leak:in_array\n";
char g_built[32];

const char* __lsan_default_suppressions(void);

const char* __lsan_default_suppressions(void) {
#if FORM == 1 // a literal
  return "leak:known_one\n"
         "# why\n"
         "leak:^libknown\n";
#elif FORM == 2 // through a pointer variable
  return g_pointer;
#elif FORM == 3 // an array that others may see, through the GOT in a library
  return g_array;
#elif FORM == 4 // built at run time
  for (int i = 0; i < 31; ++i)
    g_built[i] = g_array[i % 14];
  return g_built;
#elif FORM == 5 // none
  return 0;
#elif FORM == 6 // uninitialised memory
  return g_built;
#endif
}

int main(void) {
  return __lsan_default_suppressions() == 0;
}
