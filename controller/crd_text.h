/* crd_text.h - crd/cniiambindings.yaml as it was when this program was built (cmake/embed.cmake). */
#ifndef CNI_IAM_CONTROLLER_CRD_TEXT_H
#define CNI_IAM_CONTROLLER_CRD_TEXT_H

extern const char crd_text[];

#endif
