# Helpers that give every target of one kind the same flags.
#   heapledger_shim_library(NAME SOURCES...)  code that runs inside someone else's process:
#       no exceptions, no RTTI, no C++ runtime, no stack protector cookies, hidden visibility.
#   heapledger_library(NAME SOURCES...)       ordinary static library (recorder, analyzer).
#   heapledger_unit_test(NAME SOURCES...)     a doctest executable, registered with ctest as unit.NAME.

set(HEAPLEDGER_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                        -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual -Werror)

set(HEAPLEDGER_SANITIZE_FLAGS "")
if(HEAPLEDGER_SANITIZE)
  # Instrumented code misleads gcc's overflow warnings; warnings are errors in the plain builds.
  set(HEAPLEDGER_SANITIZE_FLAGS -Wno-error -fsanitize=${HEAPLEDGER_SANITIZE} -fno-omit-frame-pointer)
  if(NOT HEAPLEDGER_SANITIZE MATCHES "thread")
    list(APPEND HEAPLEDGER_SANITIZE_FLAGS -fno-sanitize-recover=all)
  endif()
endif()

# Flags of in-process code. It is compiled without sanitizers: it runs below malloc.
set(HEAPLEDGER_SHIM_FLAGS -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-stack-protector
    -fvisibility=hidden -fvisibility-inlines-hidden -ftls-model=initial-exec -fno-plt -fno-tree-vectorize
    -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
    -fasynchronous-unwind-tables -fno-semantic-interposition)

function(heapledger_shim_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_options(${name} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:${HEAPLEDGER_WARNINGS} ${HEAPLEDGER_SHIM_FLAGS}>)
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/preload)
  target_link_libraries(${name} PUBLIC heapledger_include)
endfunction()

function(heapledger_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${HEAPLEDGER_WARNINGS}>)
  target_compile_options(${name} PUBLIC ${HEAPLEDGER_SANITIZE_FLAGS})
  target_link_options(${name} PUBLIC ${HEAPLEDGER_SANITIZE_FLAGS})
  target_link_libraries(${name} PUBLIC heapledger_include)
endfunction()

function(heapledger_unit_test name)
  add_executable(unit_${name} ${ARGN})
  target_compile_options(unit_${name} PRIVATE -Wall -Wextra -Werror ${HEAPLEDGER_SANITIZE_FLAGS})
  target_link_options(unit_${name} PRIVATE ${HEAPLEDGER_SANITIZE_FLAGS})
  target_link_libraries(unit_${name} PRIVATE heapledger_include)
  set_target_properties(unit_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME unit.${name} COMMAND unit_${name})
endfunction()
