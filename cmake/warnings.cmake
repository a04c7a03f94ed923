# Language, warnings, hardening: the same for every target. Warnings are errors with gcc and with clang.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_compile_definitions(_GNU_SOURCE)
include_directories(${CMAKE_SOURCE_DIR})

set(CNI_IAM_WARNINGS
    -Wall -Wextra -Wshadow -Wformat=2 -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
    -Wold-style-definition -Wnull-dereference -Wdouble-promotion -Wundef -Wvla -Walloca -Wcast-align -Wcast-qual
    -Wwrite-strings -Wswitch-enum -Wimplicit-fallthrough -Werror)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND CNI_IAM_WARNINGS -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init)
endif()
add_compile_options(${CNI_IAM_WARNINGS})

# Asserts stay on in every build: NDEBUG is never set.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
add_compile_options(-fstack-protector-strong -fno-delete-null-pointer-checks -fno-strict-overflow -fstack-clash-protection
    -fcf-protection=full)
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-ftrivial-auto-var-init=zero)
endif()
if(CNI_IAM_SANITIZE)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
    # gcc's sanitizers provoke false null-dereference findings in inlined code.
    add_compile_options(-Wno-null-dereference)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    add_link_options(-pie)
endif()
if(CNI_IAM_COVERAGE)
    add_compile_options(--coverage -O0)
    add_link_options(--coverage)
endif()
if(CNI_IAM_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
