/* Where each service is spoken to and signed for, and what of the SDKs' variables and files decides it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "platform/aws/settings.h"
#include "platform/base/str.h"
#include "support_aws_peer.h"

static struct aws_peer dir; /* only its directory: nothing is started */
static struct arena *arena;

struct row {
    enum effect_service service;
    const char *region;
    int fips, dual;
    const char *url, *signing;
};

/* Printed by aws_vectors.py from botocore's rule sets. */
static const struct row rows[] = {
    {SERVICE_IAM, "us-east-1", 0, 0, "https://iam.amazonaws.com", "us-east-1"},
    {SERVICE_IAM, "us-east-1", 0, 1, "https://iam.global.api.aws", "us-east-1"},
    {SERVICE_IAM, "us-east-1", 1, 0, "https://iam-fips.amazonaws.com", "us-east-1"},
    {SERVICE_IAM, "us-east-1", 1, 1, "https://iam-fips.global.api.aws", "us-east-1"},
    {SERVICE_IAM, "us-west-2", 0, 0, "https://iam.amazonaws.com", "us-east-1"},
    {SERVICE_IAM, "us-west-2", 0, 1, "https://iam.global.api.aws", "us-east-1"},
    {SERVICE_IAM, "us-west-2", 1, 0, "https://iam-fips.amazonaws.com", "us-east-1"},
    {SERVICE_IAM, "us-west-2", 1, 1, "https://iam-fips.global.api.aws", "us-east-1"},
    {SERVICE_IAM, "us-gov-west-1", 0, 0, "https://iam.us-gov.amazonaws.com", "us-gov-west-1"},
    {SERVICE_IAM, "us-gov-west-1", 0, 1, "https://iam.us-gov.api.aws", "us-gov-west-1"},
    {SERVICE_IAM, "us-gov-west-1", 1, 0, "https://iam.us-gov.amazonaws.com", "us-gov-west-1"},
    {SERVICE_IAM, "us-gov-west-1", 1, 1, "https://iam.us-gov.api.aws", "us-gov-west-1"},
    {SERVICE_IAM, "us-gov-east-1", 0, 0, "https://iam.us-gov.amazonaws.com", "us-gov-west-1"},
    {SERVICE_IAM, "us-gov-east-1", 0, 1, "https://iam.us-gov.api.aws", "us-gov-west-1"},
    {SERVICE_IAM, "us-gov-east-1", 1, 0, "https://iam.us-gov.amazonaws.com", "us-gov-west-1"},
    {SERVICE_IAM, "us-gov-east-1", 1, 1, "https://iam.us-gov.api.aws", "us-gov-west-1"},
    {SERVICE_IAM, "cn-north-1", 0, 0, "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_IAM, "cn-north-1", 0, 1, "https://iam.global.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_IAM, "cn-north-1", 1, 0, "https://iam-fips.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_IAM, "cn-north-1", 1, 1, "https://iam-fips.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_IAM, "cn-northwest-1", 0, 0, "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_IAM, "cn-northwest-1", 0, 1, "https://iam.global.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_IAM, "cn-northwest-1", 1, 0, "https://iam-fips.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_IAM, "cn-northwest-1", 1, 1, "https://iam-fips.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_IAM, "us-iso-east-1", 0, 0, "https://iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_IAM, "us-iso-east-1", 0, 1, "https://iam.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_IAM, "us-iso-east-1", 1, 0, "https://iam-fips.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_IAM, "us-iso-east-1", 1, 1, "https://iam-fips.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_IAM, "us-isob-east-1", 0, 0, "https://iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_IAM, "us-isob-east-1", 0, 1, "https://iam.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_IAM, "us-isob-east-1", 1, 0, "https://iam-fips.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_IAM, "us-isob-east-1", 1, 1, "https://iam-fips.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_IAM, "eu-isoe-west-1", 0, 0, "https://iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_IAM, "eu-isoe-west-1", 0, 1, "https://iam.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_IAM, "eu-isoe-west-1", 1, 0, "https://iam-fips.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_IAM, "eu-isoe-west-1", 1, 1, "https://iam-fips.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_IAM, "us-isof-south-1", 0, 0, "https://iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_IAM, "us-isof-south-1", 0, 1, "https://iam.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_IAM, "us-isof-south-1", 1, 0, "https://iam-fips.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_IAM, "us-isof-south-1", 1, 1, "https://iam-fips.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_IAM, "eusc-de-east-1", 0, 0, "https://iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_IAM, "eusc-de-east-1", 0, 1, "https://iam.global.api.amazonwebservices.eu", "eusc-de-east-1"},
    {SERVICE_IAM, "eusc-de-east-1", 1, 0, "https://iam-fips.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_IAM, "eusc-de-east-1", 1, 1, "https://iam-fips.api.amazonwebservices.eu", "eusc-de-east-1"},
    {SERVICE_STS, "us-east-1", 0, 0, "https://sts.us-east-1.amazonaws.com", "us-east-1"},
    {SERVICE_STS, "us-east-1", 0, 1, "https://sts.us-east-1.api.aws", "us-east-1"},
    {SERVICE_STS, "us-east-1", 1, 0, "https://sts-fips.us-east-1.amazonaws.com", "us-east-1"},
    {SERVICE_STS, "us-east-1", 1, 1, "https://sts-fips.us-east-1.api.aws", "us-east-1"},
    {SERVICE_STS, "us-west-2", 0, 0, "https://sts.us-west-2.amazonaws.com", "us-west-2"},
    {SERVICE_STS, "us-west-2", 0, 1, "https://sts.us-west-2.api.aws", "us-west-2"},
    {SERVICE_STS, "us-west-2", 1, 0, "https://sts-fips.us-west-2.amazonaws.com", "us-west-2"},
    {SERVICE_STS, "us-west-2", 1, 1, "https://sts-fips.us-west-2.api.aws", "us-west-2"},
    {SERVICE_STS, "us-gov-west-1", 0, 0, "https://sts.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
    {SERVICE_STS, "us-gov-west-1", 0, 1, "https://sts.us-gov-west-1.api.aws", "us-gov-west-1"},
    {SERVICE_STS, "us-gov-west-1", 1, 0, "https://sts.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
    {SERVICE_STS, "us-gov-west-1", 1, 1, "https://sts-fips.us-gov-west-1.api.aws", "us-gov-west-1"},
    {SERVICE_STS, "us-gov-east-1", 0, 0, "https://sts.us-gov-east-1.amazonaws.com", "us-gov-east-1"},
    {SERVICE_STS, "us-gov-east-1", 0, 1, "https://sts.us-gov-east-1.api.aws", "us-gov-east-1"},
    {SERVICE_STS, "us-gov-east-1", 1, 0, "https://sts.us-gov-east-1.amazonaws.com", "us-gov-east-1"},
    {SERVICE_STS, "us-gov-east-1", 1, 1, "https://sts-fips.us-gov-east-1.api.aws", "us-gov-east-1"},
    {SERVICE_STS, "cn-north-1", 0, 0, "https://sts.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_STS, "cn-north-1", 0, 1, "https://sts.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_STS, "cn-north-1", 1, 0, "https://sts-fips.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_STS, "cn-north-1", 1, 1, "https://sts-fips.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_STS, "cn-northwest-1", 0, 0, "https://sts.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
    {SERVICE_STS, "cn-northwest-1", 0, 1, "https://sts.cn-northwest-1.api.amazonwebservices.com.cn", "cn-northwest-1"},
    {SERVICE_STS, "cn-northwest-1", 1, 0, "https://sts-fips.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
    {SERVICE_STS, "cn-northwest-1", 1, 1, "https://sts-fips.cn-northwest-1.api.amazonwebservices.com.cn",
     "cn-northwest-1"},
    {SERVICE_STS, "us-iso-east-1", 0, 0, "https://sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_STS, "us-iso-east-1", 0, 1, "https://sts.us-iso-east-1.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_STS, "us-iso-east-1", 1, 0, "https://sts-fips.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_STS, "us-iso-east-1", 1, 1, "https://sts-fips.us-iso-east-1.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_STS, "us-isob-east-1", 0, 0, "https://sts.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_STS, "us-isob-east-1", 0, 1, "https://sts.us-isob-east-1.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_STS, "us-isob-east-1", 1, 0, "https://sts-fips.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_STS, "us-isob-east-1", 1, 1, "https://sts-fips.us-isob-east-1.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_STS, "eu-isoe-west-1", 0, 0, "https://sts.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_STS, "eu-isoe-west-1", 0, 1, "https://sts.eu-isoe-west-1.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_STS, "eu-isoe-west-1", 1, 0, "https://sts-fips.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_STS, "eu-isoe-west-1", 1, 1, "https://sts-fips.eu-isoe-west-1.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_STS, "us-isof-south-1", 0, 0, "https://sts.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_STS, "us-isof-south-1", 0, 1, "https://sts.us-isof-south-1.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_STS, "us-isof-south-1", 1, 0, "https://sts-fips.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_STS, "us-isof-south-1", 1, 1, "https://sts-fips.us-isof-south-1.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_STS, "eusc-de-east-1", 0, 0, "https://sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_STS, "eusc-de-east-1", 0, 1, "https://sts.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"},
    {SERVICE_STS, "eusc-de-east-1", 1, 0, "https://sts-fips.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_STS, "eusc-de-east-1", 1, 1, "https://sts-fips.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"},
    {SERVICE_EKS, "us-east-1", 0, 0, "https://eks.us-east-1.amazonaws.com", "us-east-1"},
    {SERVICE_EKS, "us-east-1", 0, 1, "https://eks.us-east-1.api.aws", "us-east-1"},
    {SERVICE_EKS, "us-east-1", 1, 0, "https://fips.eks.us-east-1.amazonaws.com", "us-east-1"},
    {SERVICE_EKS, "us-east-1", 1, 1, "https://eks-fips.us-east-1.api.aws", "us-east-1"},
    {SERVICE_EKS, "us-west-2", 0, 0, "https://eks.us-west-2.amazonaws.com", "us-west-2"},
    {SERVICE_EKS, "us-west-2", 0, 1, "https://eks.us-west-2.api.aws", "us-west-2"},
    {SERVICE_EKS, "us-west-2", 1, 0, "https://fips.eks.us-west-2.amazonaws.com", "us-west-2"},
    {SERVICE_EKS, "us-west-2", 1, 1, "https://eks-fips.us-west-2.api.aws", "us-west-2"},
    {SERVICE_EKS, "us-gov-west-1", 0, 0, "https://eks.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
    {SERVICE_EKS, "us-gov-west-1", 0, 1, "https://eks.us-gov-west-1.api.aws", "us-gov-west-1"},
    {SERVICE_EKS, "us-gov-west-1", 1, 0, "https://eks.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
    {SERVICE_EKS, "us-gov-west-1", 1, 1, "https://eks-fips.us-gov-west-1.api.aws", "us-gov-west-1"},
    {SERVICE_EKS, "us-gov-east-1", 0, 0, "https://eks.us-gov-east-1.amazonaws.com", "us-gov-east-1"},
    {SERVICE_EKS, "us-gov-east-1", 0, 1, "https://eks.us-gov-east-1.api.aws", "us-gov-east-1"},
    {SERVICE_EKS, "us-gov-east-1", 1, 0, "https://eks.us-gov-east-1.amazonaws.com", "us-gov-east-1"},
    {SERVICE_EKS, "us-gov-east-1", 1, 1, "https://eks-fips.us-gov-east-1.api.aws", "us-gov-east-1"},
    {SERVICE_EKS, "cn-north-1", 0, 0, "https://eks.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_EKS, "cn-north-1", 0, 1, "https://eks.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_EKS, "cn-north-1", 1, 0, "https://eks-fips.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_EKS, "cn-north-1", 1, 1, "https://eks-fips.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_EKS, "cn-northwest-1", 0, 0, "https://eks.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
    {SERVICE_EKS, "cn-northwest-1", 0, 1, "https://eks.cn-northwest-1.api.amazonwebservices.com.cn", "cn-northwest-1"},
    {SERVICE_EKS, "cn-northwest-1", 1, 0, "https://eks-fips.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
    {SERVICE_EKS, "cn-northwest-1", 1, 1, "https://eks-fips.cn-northwest-1.api.amazonwebservices.com.cn",
     "cn-northwest-1"},
    {SERVICE_EKS, "us-iso-east-1", 0, 0, "https://eks.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_EKS, "us-iso-east-1", 0, 1, "https://eks.us-iso-east-1.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_EKS, "us-iso-east-1", 1, 0, "https://eks-fips.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_EKS, "us-iso-east-1", 1, 1, "https://eks-fips.us-iso-east-1.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_EKS, "us-isob-east-1", 0, 0, "https://eks.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_EKS, "us-isob-east-1", 0, 1, "https://eks.us-isob-east-1.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_EKS, "us-isob-east-1", 1, 0, "https://eks-fips.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_EKS, "us-isob-east-1", 1, 1, "https://eks-fips.us-isob-east-1.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_EKS, "eu-isoe-west-1", 0, 0, "https://eks.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EKS, "eu-isoe-west-1", 0, 1, "https://eks.eu-isoe-west-1.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EKS, "eu-isoe-west-1", 1, 0, "https://eks-fips.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EKS, "eu-isoe-west-1", 1, 1, "https://eks-fips.eu-isoe-west-1.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EKS, "us-isof-south-1", 0, 0, "https://eks.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EKS, "us-isof-south-1", 0, 1, "https://eks.us-isof-south-1.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EKS, "us-isof-south-1", 1, 0, "https://eks-fips.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EKS, "us-isof-south-1", 1, 1, "https://eks-fips.us-isof-south-1.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EKS, "eusc-de-east-1", 0, 0, "https://eks.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_EKS, "eusc-de-east-1", 0, 1, "https://eks.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"},
    {SERVICE_EKS, "eusc-de-east-1", 1, 0, "https://eks-fips.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_EKS, "eusc-de-east-1", 1, 1, "https://eks-fips.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"},
    {SERVICE_EC2, "us-east-1", 0, 0, "https://ec2.us-east-1.amazonaws.com", "us-east-1"},
    {SERVICE_EC2, "us-east-1", 0, 1, "https://ec2.us-east-1.api.aws", "us-east-1"},
    {SERVICE_EC2, "us-east-1", 1, 0, "https://ec2-fips.us-east-1.amazonaws.com", "us-east-1"},
    {SERVICE_EC2, "us-east-1", 1, 1, "https://ec2-fips.us-east-1.api.aws", "us-east-1"},
    {SERVICE_EC2, "us-west-2", 0, 0, "https://ec2.us-west-2.amazonaws.com", "us-west-2"},
    {SERVICE_EC2, "us-west-2", 0, 1, "https://ec2.us-west-2.api.aws", "us-west-2"},
    {SERVICE_EC2, "us-west-2", 1, 0, "https://ec2-fips.us-west-2.amazonaws.com", "us-west-2"},
    {SERVICE_EC2, "us-west-2", 1, 1, "https://ec2-fips.us-west-2.api.aws", "us-west-2"},
    {SERVICE_EC2, "us-gov-west-1", 0, 0, "https://ec2.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
    {SERVICE_EC2, "us-gov-west-1", 0, 1, "https://ec2.us-gov-west-1.api.aws", "us-gov-west-1"},
    {SERVICE_EC2, "us-gov-west-1", 1, 0, "https://ec2.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
    {SERVICE_EC2, "us-gov-west-1", 1, 1, "https://ec2-fips.us-gov-west-1.api.aws", "us-gov-west-1"},
    {SERVICE_EC2, "us-gov-east-1", 0, 0, "https://ec2.us-gov-east-1.amazonaws.com", "us-gov-east-1"},
    {SERVICE_EC2, "us-gov-east-1", 0, 1, "https://ec2.us-gov-east-1.api.aws", "us-gov-east-1"},
    {SERVICE_EC2, "us-gov-east-1", 1, 0, "https://ec2.us-gov-east-1.amazonaws.com", "us-gov-east-1"},
    {SERVICE_EC2, "us-gov-east-1", 1, 1, "https://ec2-fips.us-gov-east-1.api.aws", "us-gov-east-1"},
    {SERVICE_EC2, "cn-north-1", 0, 0, "https://ec2.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_EC2, "cn-north-1", 0, 1, "https://ec2.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_EC2, "cn-north-1", 1, 0, "https://ec2-fips.cn-north-1.amazonaws.com.cn", "cn-north-1"},
    {SERVICE_EC2, "cn-north-1", 1, 1, "https://ec2-fips.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"},
    {SERVICE_EC2, "cn-northwest-1", 0, 0, "https://ec2.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
    {SERVICE_EC2, "cn-northwest-1", 0, 1, "https://ec2.cn-northwest-1.api.amazonwebservices.com.cn", "cn-northwest-1"},
    {SERVICE_EC2, "cn-northwest-1", 1, 0, "https://ec2-fips.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
    {SERVICE_EC2, "cn-northwest-1", 1, 1, "https://ec2-fips.cn-northwest-1.api.amazonwebservices.com.cn",
     "cn-northwest-1"},
    {SERVICE_EC2, "us-iso-east-1", 0, 0, "https://ec2.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_EC2, "us-iso-east-1", 0, 1, "https://ec2.us-iso-east-1.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_EC2, "us-iso-east-1", 1, 0, "https://ec2-fips.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
    {SERVICE_EC2, "us-iso-east-1", 1, 1, "https://ec2-fips.us-iso-east-1.api.aws.ic.gov", "us-iso-east-1"},
    {SERVICE_EC2, "us-isob-east-1", 0, 0, "https://ec2.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_EC2, "us-isob-east-1", 0, 1, "https://ec2.us-isob-east-1.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_EC2, "us-isob-east-1", 1, 0, "https://ec2-fips.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
    {SERVICE_EC2, "us-isob-east-1", 1, 1, "https://ec2-fips.us-isob-east-1.api.aws.scloud", "us-isob-east-1"},
    {SERVICE_EC2, "eu-isoe-west-1", 0, 0, "https://ec2.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EC2, "eu-isoe-west-1", 0, 1, "https://ec2.eu-isoe-west-1.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EC2, "eu-isoe-west-1", 1, 0, "https://ec2-fips.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EC2, "eu-isoe-west-1", 1, 1, "https://ec2-fips.eu-isoe-west-1.api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {SERVICE_EC2, "us-isof-south-1", 0, 0, "https://ec2.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EC2, "us-isof-south-1", 0, 1, "https://ec2.us-isof-south-1.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EC2, "us-isof-south-1", 1, 0, "https://ec2-fips.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EC2, "us-isof-south-1", 1, 1, "https://ec2-fips.us-isof-south-1.api.aws.hci.ic.gov", "us-isof-south-1"},
    {SERVICE_EC2, "eusc-de-east-1", 0, 0, "https://ec2.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_EC2, "eusc-de-east-1", 0, 1, "https://ec2.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"},
    {SERVICE_EC2, "eusc-de-east-1", 1, 0, "https://ec2-fips.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
    {SERVICE_EC2, "eusc-de-east-1", 1, 1, "https://ec2-fips.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"},
};

static void botocores_table(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct aws_settings s = {.region = "elsewhere-1", .use_fips = r->fips, .use_dual_stack = r->dual};
        struct aws_endpoint e;
        struct error err;
        assert_true(aws_endpoint_resolve(&s, r->service, r->region, arena, &e, &err));
        if (!str_eq(e.origin, r->url) || !str_eq(e.signing_region, r->signing)) {
            fail_msg("%s of %s fips %d dual %d: %s [%s], wanted %s [%s]", effect_service_name(r->service), r->region,
                     r->fips, r->dual, e.origin, e.signing_region, r->url, r->signing);
        }
        assert_string_equal(e.host, e.origin + 8);
        assert_string_equal(e.base_path, "");
        assert_false(e.overridden);
    }
}

static void regions_that_are_none(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",          "x",          "us",        "us-west-2.evil.example", "us-west-2/",
        "US-WEST-2", "-us-west-2", "us west-2", "us-west-2@evil",         "a-123456789012345678901234567890123"};
    struct aws_settings s = {0};
    struct aws_endpoint e;
    struct error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(aws_endpoint_resolve(&s, SERVICE_STS, wrong[i], arena, &e, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void sts_of_old(void **state) {
    (void)state;
    struct aws_settings s = {.sts_legacy_global = true};
    struct aws_endpoint e;
    struct error err;
    assert_true(aws_endpoint_resolve(&s, SERVICE_STS, "eu-west-1", arena, &e, &err));
    assert_string_equal(e.origin, "https://sts.amazonaws.com");
    assert_string_equal(e.signing_region, "us-east-1");
    static const char *const regional[] = {"ap-east-1", "us-gov-west-1", "cn-north-1"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(aws_endpoint_resolve(&s, SERVICE_STS, regional[i], arena, &e, &err));
        assert_string_equal(e.signing_region, regional[i]);
    }
    s.use_fips = true;
    assert_true(aws_endpoint_resolve(&s, SERVICE_STS, "eu-west-1", arena, &e, &err));
    assert_string_equal(e.origin, "https://sts-fips.eu-west-1.amazonaws.com");
}

static void overrides(void **state) {
    (void)state;
    static const char *const good[][4] = {{"http://127.0.0.1:5000", "http://127.0.0.1:5000", "127.0.0.1:5000", ""},
                                          {"https://a.example:443/", "https://a.example", "a.example", ""},
                                          {"http://h:80/x/y//", "http://h", "h", "/x/y"},
                                          {"https://[::1]:8443/p", "https://[::1]:8443", "[::1]:8443", "/p"}};
    static const char *const bad[] = {"nonsense",       "ftp://h",      "https://u:p@h/",
                                      "https://h/?a=b", "https://h/#x", "https://"};
    struct aws_endpoint e;
    struct error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct aws_settings s = {.endpoint_all = good[i][0]};
        assert_true(aws_endpoint_resolve(&s, SERVICE_IAM, "eu-west-1", arena, &e, &err));
        assert_string_equal(e.origin, good[i][1]);
        assert_string_equal(e.host, good[i][2]);
        assert_string_equal(e.base_path, good[i][3]);
        assert_string_equal(e.signing_region, "us-east-1"); /* the service's own still */
        assert_true(e.overridden);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct aws_settings s = {.endpoint_eks = bad[i]};
        assert_false(aws_endpoint_resolve(&s, SERVICE_EKS, "eu-west-1", arena, &e, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static struct aws_settings *load(const char *region) {
    struct error err;
    struct aws_settings *s = aws_settings_load(arena, region, &err);
    if (!s) {
        fail_msg("%s", err.message);
    }
    return s;
}

static const char *endpoint(const struct aws_settings *s, enum effect_service service) {
    struct aws_endpoint e;
    struct error err;
    assert_true(aws_endpoint_resolve(s, service, "us-west-2", arena, &e, &err));
    return e.origin;
}

/* AWS_ENDPOINT_URL_<SERVICE> > AWS_ENDPOINT_URL > services section > endpoint_url. */
static void which_override_counts(void **state) {
    (void)state;
    (void)unsetenv("AWS_ENDPOINT_URL");
    aws_peer_write(&dir, "config",
                   "[default]\nservices = mine\nendpoint_url = http://profile\n[services mine]\niam =\n"
                   "  endpoint_url = http://section\nec2 =\n  other = x\n");
    struct aws_settings *s = load(NULL);
    assert_string_equal(endpoint(s, SERVICE_IAM), "http://section");
    assert_string_equal(endpoint(s, SERVICE_EC2), "http://profile");
    assert_string_equal(endpoint(s, SERVICE_EKS), "http://profile");
    set_variable("AWS_ENDPOINT_URL", "http://all");
    set_variable("AWS_ENDPOINT_URL_EKS", "http://eks");
    set_variable("AWS_ENDPOINT_URL_STS", "http://sts");
    s = load(NULL);
    assert_string_equal(endpoint(s, SERVICE_IAM), "http://all");
    assert_string_equal(endpoint(s, SERVICE_EKS), "http://eks");
    assert_string_equal(endpoint(s, SERVICE_STS), "http://sts");
    set_variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True");
    assert_string_equal(endpoint(load(NULL), SERVICE_EKS), "https://eks.us-west-2.amazonaws.com");
}

static void settings_come_from_here(void **state) {
    (void)state;
    aws_peer_write(&dir, "config",
                   "[default]\nregion = eu-west-3\n[profile p]\nregion = eu-west-2\nmax_attempts = 5\n"
                   "use_fips_endpoint = true\nuse_dualstack_endpoint = TRUE\nsts_regional_endpoints = legacy\n"
                   "aws_secret_access_key = hidden\n");
    assert_string_equal(load("af-south-1")->region, "af-south-1");
    assert_string_equal(load(NULL)->region, "us-west-2");
    set_variable("AWS_REGION", "%s", "");
    assert_string_equal(load(NULL)->region, "eu-west-3");
    set_variable("AWS_PROFILE", "p");
    struct aws_settings *s = load(NULL);
    assert_string_equal(s->region, "eu-west-2");
    assert_int_equal(s->max_attempts, 5);
    assert_true(s->use_fips && s->use_dual_stack && s->sts_legacy_global);
    set_variable("AWS_DEFAULT_REGION", "sa-east-1");
    set_variable("AWS_USE_FIPS_ENDPOINT", "false");
    set_variable("AWS_USE_DUALSTACK_ENDPOINT", "false");
    set_variable("AWS_STS_REGIONAL_ENDPOINTS", "regional");
    set_variable("AWS_MAX_ATTEMPTS", "2");
    s = load(NULL);
    assert_string_equal(s->region, "sa-east-1");
    assert_int_equal(s->max_attempts, 2);
    assert_false(s->use_fips || s->use_dual_stack || s->sts_legacy_global);
    aws_peer_write(&dir, "credentials", "[p]\nregion = eu-north-1\n");
    (void)unsetenv("AWS_DEFAULT_REGION");
    assert_string_equal(load(NULL)->region, "eu-north-1"); /* the credentials file first */
    aws_peer_write(&dir, "bundle", "PEM");
    set_variable("AWS_CA_BUNDLE", "%s/bundle", dir.dir);
    assert_string_equal(load(NULL)->ca_bundle_pem, "PEM");
}

static void settings_that_are_refused(void **state) {
    (void)state;
    static const char *const vars[][3] = {{"AWS_MAX_ATTEMPTS", "0", "AWS_MAX_ATTEMPTS"},
                                          {"AWS_MAX_ATTEMPTS", "many", "write a number from 1 to 20"},
                                          {"AWS_PROFILE", "absent", "AWS_PROFILE names absent"},
                                          {"AWS_CA_BUNDLE", "/nonexistent", "AWS_CA_BUNDLE: /nonexistent"},
                                          {"AWS_CONFIG_FILE", "/dev/null", "no regular file"},
                                          {"AWS_SHARED_CREDENTIALS_FILE", "/", "no regular file"}};
    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++) {
        struct error err;
        aws_peer_environment(&dir);
        set_variable(vars[i][0], "%s", vars[i][1]);
        assert_null(aws_settings_load(arena, NULL, &err));
        if (!strstr(err.message, vars[i][2])) {
            fail_msg("%s", err.message);
        }
    }
}

static int setup(void **state) {
    (void)state;
    arena = arena_new(0);
    dir.port = 1;
    (void)strcpy(dir.dir, "/tmp/aws_settings.XXXXXX");
    assert_non_null(mkdtemp(dir.dir));
    aws_peer_environment(&dir);
    return 0;
}

static int teardown(void **state) {
    static const char *const files[] = {"config", "credentials", "bundle"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        aws_peer_write(&dir, files[i], NULL);
    }
    arena_free(arena);
    return rmdir(dir.dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(botocores_table),
                                       TEST(regions_that_are_none),
                                       TEST(sts_of_old),
                                       TEST(overrides),
                                       TEST(which_override_counts),
                                       TEST(settings_come_from_here),
                                       TEST(settings_that_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
