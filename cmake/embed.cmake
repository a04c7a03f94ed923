# cni_embed(FILE SYMBOL OUT): at configure time, OUT becomes a C file with `const char SYMBOL[]`: the bytes of FILE and a
# NUL. Written again when FILE changes. Needs nothing but cmake.
function(cni_embed file symbol out)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
    string(REPLACE "'\\x0a'," "'\\x0a',\n" bytes "${bytes}")
    file(RELATIVE_PATH from ${CMAKE_SOURCE_DIR} ${file})
    file(CONFIGURE OUTPUT ${out} CONTENT
        "/* From ${from} (cmake/embed.cmake). */\nextern const char ${symbol}[];\nconst char ${symbol}[] = {\n@bytes@0};\n"
        @ONLY)
endfunction()
